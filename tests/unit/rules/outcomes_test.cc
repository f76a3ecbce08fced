#include "rules/outcomes.h"

#include <gtest/gtest.h>

#include "rules/outcome_shard.h"

namespace shoal::rules {
namespace {

using records::v1::OUTCOME_RESULT_FAILED;
using records::v1::OUTCOME_RESULT_REFUSED;
using records::v1::OUTCOME_RESULT_ROLLED_BACK;
using records::v1::OUTCOME_RESULT_SUCCESS;

rollout::v1::RolloutDocument Document() {
  rollout::v1::RolloutDocument document;
  document.mutable_release()->set_sha256(std::string(32, 's'));
  document.set_error_threshold_permille(500);
  for (const uint32_t expected : {10u, 200u, 201u, 1000u, 1'000'000u})
    document.add_phases()->set_expected_devices(expected);
  return document;
}

TEST(Outcomes, T27_OnlyTheReleasesDigestIsASuccess) {
  const auto d = Document();
  const std::string image = d.release().sha256();
  EXPECT_EQ(JudgeOutcome(d, OUTCOME_RESULT_SUCCESS, image, "ok"),
            OutcomeVerdict::kSucceeded);
  EXPECT_EQ(JudgeOutcome(d, OUTCOME_RESULT_SUCCESS, std::string(32, 'o'), "ok"),
            OutcomeVerdict::kFailed);
  EXPECT_EQ(JudgeOutcome(d, OUTCOME_RESULT_FAILED, image, "no_source"),
            OutcomeVerdict::kFailed);
  EXPECT_EQ(JudgeOutcome(d, OUTCOME_RESULT_ROLLED_BACK, image, "health_failed"),
            OutcomeVerdict::kFailed);
  EXPECT_EQ(JudgeOutcome(d, OUTCOME_RESULT_REFUSED, image, "below_floor"),
            OutcomeVerdict::kRefused);
  // A modem may be brought up, a policy changed.
  for (const char* reason : {"dependency_unmet", "policy_denied"})
    EXPECT_EQ(JudgeOutcome(d, OUTCOME_RESULT_REFUSED, image, reason),
              OutcomeVerdict::kWaiting);
}

TEST(Outcomes, EachDeviceCountsOnceByItsLatestCounter) {
  OutcomeTally tally(2);
  tally.Add("a", 2, 0, OutcomeVerdict::kSucceeded);
  tally.Add("a", 1, 0, OutcomeVerdict::kFailed);  // older
  tally.Add("b", 1, 1, OutcomeVerdict::kFailed);
  tally.Add("b", 2, 1, OutcomeVerdict::kSucceeded);  // tried again
  tally.Add("c", 1, 2, OutcomeVerdict::kFailed);     // no such phase
  tally.Add("d", 0, 0, OutcomeVerdict::kFailed);     // no outcome has 0
  const auto counts = tally.ByPhase();
  ASSERT_EQ(counts.size(), 2u);
  EXPECT_EQ(counts[0].succeeded, 1u);
  EXPECT_EQ(counts[0].failed, 0u);
  EXPECT_EQ(counts[1].succeeded, 1u);
  EXPECT_EQ(counts[1].failed, 0u);
}

TEST(Outcomes, WhoWaitsHasNotAnsweredAndWhoTriedSaysMore) {
  OutcomeTally tally(1);
  const absl::Time t = absl::FromUnixSeconds(1'800'000'000);
  tally.Add("a", 1, 0, OutcomeVerdict::kWaiting, t);
  tally.Add("b", 1, 0, OutcomeVerdict::kFailed, t + absl::Seconds(9));
  tally.Add("b", 2, 0, OutcomeVerdict::kWaiting, t);
  tally.Add("c", 1, 0, OutcomeVerdict::kWaiting, t);
  tally.Add("c", 2, 0, OutcomeVerdict::kSucceeded, t + absl::Seconds(5));
  const OutcomeCount count = tally.ByPhase()[0];
  EXPECT_EQ(count.total(), 2u);
  EXPECT_EQ(count.failed, 1u);
  EXPECT_EQ(count.refused, 0u);
  EXPECT_EQ(count.answered_at,
            (std::vector{t + absl::Seconds(5), t + absl::Seconds(9)}));
}

TEST(Outcomes, RefusalsAreShownAndMoveNoGate) {
  const auto d = Document();
  OutcomeTally tally(1);
  for (const char* device : {"a", "b", "c"})
    tally.Add(device, 1, 0, OutcomeVerdict::kRefused);
  tally.Add("d", 1, 0, OutcomeVerdict::kSucceeded);
  const OutcomeCount count = tally.ByPhase()[0];
  EXPECT_EQ(count.refused, 3u);
  EXPECT_EQ(count.total(), 1u);
  EXPECT_FALSE(TooManyFailures(d, 0, count));
  // 1 of 10 expected: three refusals are no outcomes that a gate may count.
  EXPECT_EQ(EvaluateGate(d, 0, count, false, absl::InfiniteFuture()).reason,
            "too_few_outcomes");
  // Nor do they make the sample that a share of failures is taken of.
  for (const char* device : {"e", "f", "g", "h"})
    tally.Add(device, 1, 0, OutcomeVerdict::kFailed);
  EXPECT_FALSE(TooManyFailures(d, 0, tally.ByPhase()[0]));
  tally.Add("i", 1, 0, OutcomeVerdict::kFailed);
  EXPECT_TRUE(TooManyFailures(d, 0, tally.ByPhase()[0]));
}

TEST(Outcomes, ARefusalHidesNoFailure) {
  for (const bool refusal_first : {true, false}) {
    OutcomeTally tally(1);
    if (refusal_first) tally.Add("a", 2, 0, OutcomeVerdict::kRefused);
    tally.Add("a", 1, 0, OutcomeVerdict::kFailed);
    if (!refusal_first) tally.Add("a", 2, 0, OutcomeVerdict::kRefused);
    const OutcomeCount count = tally.ByPhase()[0];
    EXPECT_EQ(count.failed, 1u);
    EXPECT_EQ(count.refused, 0u);
  }
}

// As many as an operator accepted, and none that was signed afterwards.
TEST(Outcomes, WhatTheDocumentAcceptsOfThemIsNoFailure) {
  auto d = Document();
  const absl::Time t = absl::FromUnixSeconds(1'800'000'000);
  auto* accepted = d.add_accepted_failures();
  accepted->set_phase(1);
  accepted->set_count(2);
  accepted->set_until(absl::ToUnixMillis(t));
  OutcomeTally tally(2);
  tally.Add("a", 1, 1, OutcomeVerdict::kFailed, t);
  tally.Add("b", 1, 1, OutcomeVerdict::kFailed, t + absl::Milliseconds(1));
  tally.Add("c", 1, 1, OutcomeVerdict::kSucceeded, t);
  tally.Add("d", 1, 0, OutcomeVerdict::kFailed, t);
  const auto counts = tally.ByPhase();
  const OutcomeCount second = WithoutAccepted(d, 1, counts[1]);
  EXPECT_EQ(second.failed, 1u) << "the later one counts";
  EXPECT_EQ(second.accepted, 1u);
  EXPECT_EQ(second.total(), 3u) << "it answered";
  EXPECT_EQ(WithoutAccepted(d, 0, counts[0]).failed, 1u) << "another phase";
  // More of them than were accepted.
  tally.Add("e", 1, 1, OutcomeVerdict::kFailed, t);
  tally.Add("f", 1, 1, OutcomeVerdict::kFailed, t);
  EXPECT_EQ(WithoutAccepted(d, 1, tally.ByPhase()[1]).accepted, 2u);
  EXPECT_EQ(WithoutAccepted(d, 1, tally.ByPhase()[1]).failed, 2u);
}

TEST(OutcomeShards, OnePlaceForFewAPowerOfTwoForMany) {
  const auto d = Document();
  EXPECT_EQ(OutcomeShards(d, 0), 1u);
  EXPECT_EQ(OutcomeShards(d, 1), 1u);
  EXPECT_EQ(OutcomeShards(d, 2), 4u);
  EXPECT_EQ(OutcomeShards(d, 3), 16u);
  EXPECT_EQ(OutcomeShards(d, 4), kMaxOutcomeShards);
  EXPECT_EQ(OutcomeShards(d, -1), 1u);
  EXPECT_EQ(OutcomeShards(d, 5), 1u);
}

}  // namespace
}  // namespace shoal::rules
