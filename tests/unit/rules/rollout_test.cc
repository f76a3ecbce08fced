#include "rules/rollout.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "rules/position.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/rules/two_phases.h"

namespace shoal::rules {
namespace {

using rollout::v1::RolloutDocument;
using ::shoal::testing::FailsBecause;

TEST(Rollout, TheCanaryStartsAtOnce) {
  const StartDecision decision = MayStart(TwoPhases(), Device(true));
  EXPECT_TRUE(decision.start);
  EXPECT_EQ(decision.phase, 0);
}

TEST(Rollout, EveryConditionHasItsReason) {
  const StartInput device = Device(true);
  RolloutDocument document = TwoPhases();
  document.set_state(rollout::v1::ROLLOUT_STATE_PAUSED);
  EXPECT_EQ(MayStart(document, device).reason, "rollout_not_active");

  StartInput halted = device;
  halted.halted = true;
  EXPECT_EQ(MayStart(TwoPhases(), halted).reason, "halted");

  StartInput late = device;
  late.now = kStart + absl::Hours(24);
  EXPECT_EQ(MayStart(TwoPhases(), late).reason, "rollout_expired");

  StartInput foreign = device;
  foreign.fleet_id = std::string(32, 'g');
  EXPECT_EQ(MayStart(TwoPhases(), foreign).reason, "wrong_fleet");

  StartInput other = device;
  other.device.device_type = "meter";
  EXPECT_EQ(MayStart(TwoPhases(), other).reason, "wrong_device_type");

  document = TwoPhases();
  document.mutable_selector()->Clear();
  (*document.mutable_selector()->mutable_labels())["site"] = "north";
  EXPECT_EQ(MayStart(document, device).reason, "not_selected");

  document = TwoPhases();
  auto* window = document.add_windows();
  window->set_from_minute(60);
  window->set_to_minute(120);
  EXPECT_EQ(MayStart(document, device).reason, "outside_window");
  StartInput inside = device;
  inside.local.minute = 60;
  EXPECT_TRUE(MayStart(document, inside).start);
}

TEST(Rollout, T21_BoundToFleetAndType) {
  StartInput input = Device(true);
  input.fleet_id = std::string(32, 'x');
  EXPECT_FALSE(MayStart(TwoPhases(), input).start);
  input = Device(true);
  input.device.device_type = "other";
  EXPECT_FALSE(MayStart(TwoPhases(), input).start);
}

TEST(Rollout, RetriesBackOffAndEnd) {
  RolloutDocument document = TwoPhases();
  document.mutable_retry()->set_max_attempts(3);
  document.mutable_retry()->set_backoff_ms(1000);
  StartInput input = Device(true);
  input.attempts = {2, kStart};
  EXPECT_EQ(MayStart(document, input).reason, "backoff");
  EXPECT_EQ(MayStart(document, input).retry_at, kStart + absl::Seconds(2));
  input.now = kStart + absl::Seconds(2);
  EXPECT_TRUE(MayStart(document, input).start);
  input.attempts.count = 3;
  EXPECT_EQ(MayStart(document, input).reason, "attempts_exhausted");
}

TEST(Gate, OpensOnlyOnProof) {
  const RolloutDocument document = TwoPhases();
  const absl::Time later = kStart + absl::Minutes(1);
  EXPECT_EQ(EvaluateGate(document, 0, {1, 0}, false, kStart).reason, "soaking");
  EXPECT_EQ(EvaluateGate(document, 0, {0, 0}, false, later).reason,
            "too_few_outcomes");
  EXPECT_EQ(EvaluateGate(document, 0, {0, 1}, false, later).answer,
            GateAnswer::kHalt);
  EXPECT_EQ(EvaluateGate(document, 0, {1, 0}, false, later).answer,
            GateAnswer::kOpen);
}

// The first failures by which a phase of so many devices halts, with no success
// yet: the table in docs/rollouts.md.
TEST(Threshold, TheShareIsOfASampleNotOfTheFirstAnswers) {
  const struct {
    uint32_t permille, expected, first;
  } kRows[] = {
      {0, 2000, 1},   {100, 1, 1},  {100, 2000, 1},
      {250, 1, 1},    {250, 2, 1},  {250, 3, 1},
      {250, 5, 2},    {250, 9, 3},  {250, 10, 3},
      {250, 2000, 3}, {500, 3, 2},  {500, 2000, 5},
      {1000, 1, 1},   {1000, 3, 3}, {1000, 2000, 10},
      {250, 0, 1},  // nobody was expected, somebody came
  };
  for (const auto& row : kRows) {
    RolloutDocument document = TwoPhases();
    document.set_error_threshold_permille(row.permille);
    document.mutable_phases(0)->set_expected_devices(row.expected);
    SCOPED_TRACE(::testing::Message()
                 << row.permille << " of " << row.expected << " devices");
    EXPECT_FALSE(TooManyFailures(document, 0, {0, row.first - 1}));
    EXPECT_TRUE(TooManyFailures(document, 0, {0, row.first}));
    EXPECT_EQ(FailuresThatHalt(document, 0, {0, 0}), row.first);
  }
  RolloutDocument document = TwoPhases();
  document.set_error_threshold_permille(250);
  document.mutable_phases(0)->set_expected_devices(2000);
  EXPECT_FALSE(TooManyFailures(document, 0, {1, 1}));
  EXPECT_FALSE(TooManyFailures(document, 0, {76, 24}));
  EXPECT_TRUE(TooManyFailures(document, 0, {75, 25}));
  document.set_error_threshold_permille(0);
  EXPECT_TRUE(TooManyFailures(document, 0, {1999, 1}));
  EXPECT_FALSE(TooManyFailures(document, 0, {2000, 0}));
}

TEST(Threshold, WhatHaltsIsSaidExactly) {
  RolloutDocument document = TwoPhases();
  for (const uint32_t permille : {0u, 1u, 99u, 250u, 334u, 999u, 1000u}) {
    document.set_error_threshold_permille(permille);
    for (const uint32_t expected : {0u, 1u, 3u, 9u, 10u, 11u, 2000u}) {
      document.mutable_phases(0)->set_expected_devices(expected);
      for (uint32_t succeeded = 0; succeeded < 40; ++succeeded) {
        const uint32_t halts = FailuresThatHalt(document, 0, {succeeded, 0});
        for (uint32_t failed = 0; failed < 60; ++failed)
          ASSERT_EQ(TooManyFailures(document, 0, {succeeded, failed}),
                    halts != 0 && failed >= halts)
              << permille << " " << expected << " " << succeeded << " "
              << failed;
      }
    }
  }
}

TEST(Gate, ManualWaitsForApproval) {
  RolloutDocument document = TwoPhases();
  document.mutable_phases(0)->mutable_gate()->set_manual(true);
  const absl::Time later = kStart + absl::Minutes(1);
  EXPECT_EQ(EvaluateGate(document, 0, {1, 0}, false, later).reason,
            "needs_approval");
  EXPECT_EQ(EvaluateGate(document, 0, {1, 0}, true, later).answer,
            GateAnswer::kOpen);
}

TEST(Rollout, ValidationNamesWhatIsWrong) {
  EXPECT_OK(ValidateRollout(TwoPhases()));
  RolloutDocument document = TwoPhases();
  document.set_id("../x");
  EXPECT_THAT(ValidateRollout(document), FailsBecause("bad_rollout"));
  document = TwoPhases();
  document.mutable_phases(1)->set_threshold(5);
  EXPECT_THAT(ValidateRollout(document), FailsBecause("bad_rollout"));
  document = TwoPhases();
  document.mutable_phases(0)->set_threshold((uint64_t{1} << 32) + 1);
  EXPECT_THAT(ValidateRollout(document), FailsBecause("bad_rollout"));
  document = TwoPhases();
  document.set_open_phase(2);
  EXPECT_THAT(ValidateRollout(document), FailsBecause("bad_rollout"));
  document = TwoPhases();
  document.mutable_phases(0)->mutable_gate()->set_soak_ms(-1);
  EXPECT_THAT(ValidateRollout(document), FailsBecause("bad_rollout"));
  document = TwoPhases();
  document.mutable_phases(1)->set_name(document.phases(0).name());
  EXPECT_THAT(ValidateRollout(document), FailsBecause("bad_rollout"));
  document = TwoPhases();
  for (int i = 0; i < 33; ++i) {
    auto* window = document.add_windows();
    window->set_from_minute(60);
    window->set_to_minute(120);
    EXPECT_EQ(ValidateRollout(document).ok(), i < 32) << i;
  }
  document = TwoPhases();
  document.clear_phases();
  EXPECT_THAT(ValidateRollout(document), FailsBecause("bad_rollout"));
}

}  // namespace
}  // namespace shoal::rules
