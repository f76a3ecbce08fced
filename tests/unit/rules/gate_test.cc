// When a phase opens: with a plane, and for a device that has none.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "rules/position.h"
#include "rules/rollout.h"
#include "tests/unit/rules/two_phases.h"

namespace shoal::rules {
namespace {

using rollout::v1::RolloutDocument;

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
