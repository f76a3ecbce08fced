#include "rules/progress.h"

#include <gtest/gtest.h>

namespace shoal::rules {
namespace {

using Kind = PlaneStep::Kind;
using rollout::v1::RolloutDocument;

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

// Five canaries, then five more.
RolloutDocument Document(uint32_t open_phase) {
  RolloutDocument document;
  document.set_open_phase(open_phase);
  document.set_opened_at(absl::ToUnixMillis(kStart));
  document.set_expires(absl::ToUnixSeconds(kStart + absl::Hours(24)));
  document.set_error_threshold_permille(300);
  for (const char* name : {"canary", "all"}) {
    auto* phase = document.add_phases();
    phase->set_name(name);
    phase->set_expected_devices(5);
  }
  return document;
}

PlaneStep Next(const RolloutDocument& document,
               std::vector<OutcomeCount> counts,
               std::vector<uint32_t> accepted = {}) {
  PlaneView view;
  view.now = kStart + absl::Hours(1);
  view.counts = std::move(counts);
  view.accepted_failures = std::move(accepted);
  return NextStep(document, view);
}

TEST(Progress, AcceptedFailuresAreNoFailuresAnyMore) {
  const RolloutDocument canary = Document(0);
  const OutcomeCount two_failed{.succeeded = 1, .failed = 2};
  EXPECT_EQ(Next(canary, {two_failed}).kind, Kind::kHalt);
  EXPECT_EQ(Next(canary, {two_failed}, {2}).kind, Kind::kWait);
  // One of five, as far as it counts; then two.
  EXPECT_EQ(Next(canary, {{.succeeded = 1, .failed = 3}}, {2}).kind,
            Kind::kWait);
  EXPECT_EQ(Next(canary, {{.succeeded = 1, .failed = 4}}, {2}).kind,
            Kind::kHalt);
}

// All five have answered, whatever is thought of two of the answers.
TEST(Progress, AGateOpensBesideAcceptedFailures) {
  RolloutDocument canary = Document(0);
  EXPECT_EQ(Next(canary, {{.succeeded = 3, .failed = 2}}, {2}).kind,
            Kind::kOpenNext);
  canary.mutable_phases(0)->mutable_gate()->set_success_permille(1000);
  EXPECT_EQ(Next(canary, {{.succeeded = 3, .failed = 2}}, {2}).kind,
            Kind::kOpenNext);
  EXPECT_EQ(Next(canary, {{.succeeded = 4, .failed = 1}}).kind, Kind::kWait);
}

TEST(Progress, TheEndWaitsForThoseWhoTryAgain) {
  const RolloutDocument all = Document(1);
  const OutcomeCount done{.succeeded = 5};
  EXPECT_EQ(Next(all, {done, {.succeeded = 4, .failed = 1, .trying = 1}}).kind,
            Kind::kWait);
  EXPECT_EQ(Next(all, {done, {.succeeded = 4, .failed = 1}}).kind,
            Kind::kFinish);
  EXPECT_EQ(Next(all, {done, {.succeeded = 4, .refused = 1}}).kind,
            Kind::kFinish);
  // Whoever is lost may come back.
  EXPECT_EQ(Next(all, {done, {.succeeded = 4, .lost = 1}}).kind, Kind::kWait);
}

}  // namespace
}  // namespace shoal::rules
