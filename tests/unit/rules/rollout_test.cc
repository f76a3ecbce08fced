#include "rules/rollout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "rules/position.h"
#include "tests/support/status_matchers.h"

namespace shoal::rules {
namespace {

using rollout::v1::RolloutDocument;
using ::shoal::testing::FailsBecause;

const absl::Time kStart = absl::FromUnixSeconds(1800000000);

// A canary by label, then everybody; the gate between is `soak` of time.
RolloutDocument TwoPhases(absl::Duration soak = absl::Seconds(10)) {
  RolloutDocument document;
  document.set_id("r1");
  document.set_version(1);
  document.set_fleet(std::string(32, 'f'));
  document.set_device_type("gateway");
  auto* release = document.mutable_release();
  release->set_version("2.0");
  release->set_image_target("fw/gateway/2.0/image");
  release->set_sha256(std::string(32, 's'));
  release->set_length(1000);
  document.mutable_selector()->set_all(true);
  auto* canary = document.add_phases();
  canary->set_name("canary");
  (*canary->mutable_labels())["ring"] = "canary";
  canary->set_expected_devices(1);
  canary->mutable_gate()->set_soak_ms(absl::ToInt64Milliseconds(soak));
  auto* all = document.add_phases();
  all->set_name("all");
  all->set_threshold(uint64_t{1} << 32);
  all->set_expected_devices(4);
  document.set_opened_at(absl::ToUnixMillis(kStart));
  document.set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
  document.set_expires(absl::ToUnixSeconds(kStart + absl::Hours(24)));
  document.set_unattended(true);
  document.set_error_threshold_permille(200);
  return document;
}

StartInput Device(bool canary, absl::Time now = kStart) {
  StartInput input;
  input.device.id = std::string(16, canary ? 'c' : 'd');
  input.device.device_type = "gateway";
  if (canary) input.device.labels["ring"] = "canary";
  input.fleet_id = std::string(32, 'f');
  input.now = now;
  return input;
}

TEST(Rollout, TheCanaryStartsAtOnce) {
  const StartDecision decision = MayStart(TwoPhases(), Device(true));
  EXPECT_TRUE(decision.start);
  EXPECT_EQ(decision.phase, 0);
}

TEST(Rollout, T29_UnattendedGateNeedsTimeAndAGoodSample) {
  const RolloutDocument document = TwoPhases();
  StartInput input = Device(false, kStart + absl::Seconds(20));
  EXPECT_EQ(MayStart(document, input).reason, "phase_closed");  // no sample
  input.samples = {{0, 1}};
  EXPECT_EQ(MayStart(document, input).reason, "phase_closed");  // failed
  input.samples = {{1, 0}};
  EXPECT_TRUE(MayStart(document, input).start);
  input.now = kStart + absl::Seconds(9);
  const StartDecision early = MayStart(document, input);
  EXPECT_EQ(early.reason, "phase_closed");
  EXPECT_EQ(early.retry_at, kStart + absl::Seconds(10));
}

TEST(Rollout, T29_SampleMustBeLargeEnough) {
  RolloutDocument document = TwoPhases();
  document.mutable_phases(0)->set_expected_devices(100);
  StartInput input = Device(false, kStart + absl::Seconds(20));
  input.samples = {{19, 0}};
  EXPECT_FALSE(MayStart(document, input).start);
  input.samples = {{20, 0}};
  EXPECT_TRUE(MayStart(document, input).start);
  input.samples = {{16, 4}};  // 20 % failures is the threshold
  EXPECT_FALSE(MayStart(document, input).start);
  input.samples = {{17, 4}};
  EXPECT_TRUE(MayStart(document, input).start);
}

// Of a small phase those count that can answer; silence is no proof all the
// same.
TEST(Rollout, NoGateWaitsForWhoRefusedOrIsLost) {
  RolloutDocument document = TwoPhases();
  document.mutable_phases(0)->set_expected_devices(5);
  const absl::Time later = kStart + absl::Hours(1);
  const auto answer = [&](const OutcomeCount& count) {
    return EvaluateGate(document, 0, count, false, later);
  };
  OutcomeCount count{.succeeded = 3};
  EXPECT_EQ(answer(count).reason, "too_few_outcomes");
  count.refused = 1;
  EXPECT_EQ(answer(count).reason, "too_few_outcomes");
  count.lost = 1;
  EXPECT_EQ(answer(count).answer, GateAnswer::kOpen);
  EXPECT_EQ(answer({.refused = 2, .lost = 3}).reason, "too_few_outcomes");
  EXPECT_EQ(answer({.refused = 9}).reason, "too_few_outcomes");
  // Half of those who can must have spoken, and a large phase has enough.
  EXPECT_EQ(answer({.succeeded = 2, .lost = 3}).reason, "too_few_outcomes");
  EXPECT_EQ(answer({.succeeded = 3, .lost = 2}).answer, GateAnswer::kOpen);
  document.mutable_phases(0)->set_expected_devices(1000);
  EXPECT_EQ(answer({.succeeded = 19, .lost = 981}).reason, "too_few_outcomes");
  document.mutable_phases(0)->set_expected_devices(5);
  document.mutable_phases(0)->mutable_gate()->set_min_outcomes(4);
  EXPECT_EQ(answer(count).reason, "too_few_outcomes");

  // A device reads who refused; it can't know who is lost.
  document.mutable_phases(0)->mutable_gate()->set_min_outcomes(0);
  StartInput input = Device(false, later);
  input.samples = {{.succeeded = 3, .refused = 1}};
  EXPECT_EQ(MayStart(document, input).reason, "phase_closed");
  input.samples = {{.succeeded = 4, .refused = 1}};
  EXPECT_TRUE(MayStart(document, input).start);
}

// The canary failed, after the plane had opened the next phase and died.
TEST(Rollout, T29_TooManyFailuresOfAnEarlierPhaseOpenNothing) {
  RolloutDocument document = TwoPhases();
  document.mutable_phases(1)->set_threshold(0);
  (*document.mutable_phases(1)->mutable_labels())["ring"] = "early";
  document.mutable_phases(1)->set_expected_devices(1);
  auto* last = document.add_phases();
  last->set_name("last");
  last->set_threshold(uint64_t{1} << 32);
  document.set_open_phase(1);
  StartInput input = Device(false, kStart + absl::Hours(1));
  input.samples = {{1, 0}, {1, 0}};
  EXPECT_TRUE(MayStart(document, input).start);
  input.samples = {{0, 1}, {1, 0}};
  EXPECT_EQ(MayStart(document, input).reason, "phase_closed");
}

// With a plane a phase's time runs from its opening. Without one it does, too,
// and not from when it might have been opened.
TEST(Rollout, T29_APhasesTimeRunsFromWhenTheOneBeforeWasProven) {
  RolloutDocument document = TwoPhases(absl::Hours(1));
  document.mutable_phases(1)->set_threshold(0);
  (*document.mutable_phases(1)->mutable_labels())["ring"] = "early";
  document.mutable_phases(1)->set_expected_devices(1);
  document.mutable_phases(1)->mutable_gate()->set_soak_ms(3'600'000);
  auto* last = document.add_phases();
  last->set_name("last");
  last->set_threshold(uint64_t{1} << 32);
  const absl::Time proven = kStart + absl::Hours(5);
  StartInput input = Device(false);
  input.samples = {{.succeeded = 1, .answered_at = {proven}},
                   {.succeeded = 1, .answered_at = {proven}}};
  input.now = proven + absl::Minutes(59);
  EXPECT_EQ(MayStart(document, input).reason, "phase_closed");
  input.now = proven + absl::Hours(1);
  EXPECT_TRUE(MayStart(document, input).start);
  // A clock that is ahead keeps nothing shut.
  document.mutable_phases(0)->set_expected_devices(2);
  input.samples[0] = {.succeeded = 2,
                      .answered_at = {proven, proven + absl::Hours(9000)}};
  EXPECT_TRUE(MayStart(document, input).start);
  document.mutable_phases(0)->set_expected_devices(1);
  input.samples[0] = {.succeeded = 1, .answered_at = {proven}};
  // When it is not known, nobody was earlier than now.
  input.samples[0].answered_at.clear();
  EXPECT_EQ(MayStart(document, input).reason, "phase_closed");
  // Settling comes before the opening, too.
  input.samples[0].answered_at = {proven};
  document.mutable_phases(0)->mutable_gate()->set_settle_ms(600'000);
  input.samples[0].enough_since = proven;
  EXPECT_EQ(MayStart(document, input).reason, "phase_closed");
  input.now += absl::Minutes(10);
  EXPECT_TRUE(MayStart(document, input).start);
}

TEST(Rollout, RatioAndManualGatesWaitForThePlane) {
  for (int kind = 0; kind < 3; ++kind) {
    RolloutDocument document = TwoPhases();
    auto* gate = document.mutable_phases(0)->mutable_gate();
    if (kind == 0) gate->set_manual(true);
    if (kind == 1) gate->set_success_permille(900);
    if (kind == 2) gate->set_min_outcomes(1);
    StartInput input = Device(false, kStart + absl::Hours(1));
    input.samples = {{1, 0}};
    EXPECT_EQ(MayStart(document, input).reason, "phase_closed") << kind;
    document.set_open_phase(1);  // the plane's word
    EXPECT_TRUE(MayStart(document, input).start) << kind;
  }
}

TEST(Rollout, UnattendedMayBeForbidden) {
  RolloutDocument document = TwoPhases();
  document.set_unattended(false);
  StartInput input = Device(false, kStart + absl::Hours(1));
  input.samples = {{1, 0}};
  EXPECT_EQ(MayStart(document, input).reason, "phase_closed");
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

// Whatever the documents, samples and times: no device starts in a phase
// behind a gate whose soak time has not passed or whose sample shows nothing
// but failures.
TEST(Rollout, T29_PropertyNoPhaseOpensEarly) {
  std::mt19937 random(7);
  const auto pick = [&](uint32_t n) {
    return static_cast<uint32_t>(random() % n);
  };
  for (int round = 0; round < 20000; ++round) {
    RolloutDocument document = TwoPhases(absl::Seconds(pick(100)));
    document.mutable_phases(1)->set_threshold(uint64_t{1} << 31);
    document.mutable_phases(1)->mutable_gate()->set_soak_ms(pick(100000));
    auto* last = document.add_phases();
    last->set_name("last");
    last->set_threshold(uint64_t{1} << 32);
    last->set_expected_devices(pick(50));
    document.mutable_phases(0)->set_expected_devices(pick(30));
    document.mutable_phases(1)->set_expected_devices(pick(30));
    const absl::Time now = kStart + absl::Seconds(pick(300));
    std::vector<OutcomeCount> samples = {{pick(30), pick(3)},
                                         {pick(30), pick(3)}};
    const int open = UnattendedOpenPhase(document, samples, now);
    int64_t soak = 0;
    for (int phase = 0; phase < open; ++phase) {
      soak += document.phases(phase).gate().soak_ms();
      EXPECT_GE(now, kStart + absl::Milliseconds(soak));
      const OutcomeCount& count = samples[phase];
      if (count.total() > 0) {
        EXPECT_GE(count.succeeded, 1u);
        EXPECT_FALSE(TooManyFailures(document, phase, count));
      }
    }
    if (open > 0) {
      EXPECT_TRUE(std::any_of(samples.begin(), samples.begin() + open,
                              [](const auto& c) { return c.succeeded > 0; }));
    }
  }
}

}  // namespace
}  // namespace shoal::rules
