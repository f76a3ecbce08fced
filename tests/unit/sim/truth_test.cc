#include "sim/truth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "rules/rollout.h"

namespace shoal::sim {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two phases of a fleet, all of it honest; each test breaks one thing.
class TruthTest : public ::testing::Test {
 protected:
  TruthTest() {
    auto& document = facts_.document;
    document.set_id("sim");
    document.set_device_type("sim");
    document.mutable_selector()->set_all(true);
    document.set_error_threshold_permille(500);
    for (int i = 0; i < 2; ++i) {
      auto* phase = document.add_phases();
      phase->set_name(i == 0 ? "p1" : "p2");
      phase->set_threshold(uint64_t{1} << (31 + i));
    }
    facts_.opened_ms = {{0, 1'000}, {1, 5'000}};
    facts_.new_sha256 = std::string(32, 'n');
    plane_.phases.resize(2);
    for (int i = 0; i < 40; ++i) {
      Truth truth;
      truth.device_id = std::string(15, 'd') + static_cast<char>(i);
      rules::DeviceFacts device;
      device.id = truth.device_id;
      device.device_type = "sim";
      const int phase = rules::PhaseOf(document, device);
      const bool good = i % 10 != 0;
      Attempt attempt;
      attempt.counter = 1;
      attempt.success = good;
      attempt.phase = static_cast<uint32_t>(phase);
      attempt.started_ms = phase == 0 ? 2'000 : 6'000;
      attempt.finished_ms = attempt.started_ms + 1'000;
      truth.attempts = {attempt};
      truth.committed_sha256 = std::string(32, good ? 'n' : 'o');
      PlaneOutcome outcome;
      outcome.success = good;
      outcome.phase = attempt.phase;
      outcome.running_sha256 = truth.committed_sha256;
      plane_.outcomes[truth.device_id] = outcome;
      auto& count = plane_.phases[attempt.phase];
      ++count.expected;
      ++(good ? count.succeeded : count.failed);
      ++in_phase_[phase];
      truths_.push_back(std::move(truth));
    }
    auto* gate = document.mutable_phases(0)->mutable_gate();
    gate->set_min_outcomes(5);
    gate->set_success_permille(500);
    document.mutable_phases(0)->set_expected_devices(in_phase_[0]);
    document.mutable_phases(1)->set_expected_devices(in_phase_[1]);
  }

  Truth& InPhase(uint32_t phase, bool success) {
    for (Truth& truth : truths_)
      if (truth.attempts[0].phase == phase &&
          truth.attempts[0].success == success)
        return truth;
    ADD_FAILURE() << "no such device";
    return truths_[0];
  }
  std::vector<std::string> Found() {
    return Violations(truths_, plane_, facts_);
  }

  std::vector<Truth> truths_;
  PlaneAccount plane_;
  RolloutFacts facts_;
  std::map<int, uint32_t> in_phase_;
};

TEST_F(TruthTest, AnHonestRunHasNone) { EXPECT_THAT(Found(), IsEmpty()); }

TEST_F(TruthTest, AFailureThatIsCalledSuccess) {
  plane_.outcomes[InPhase(0, false).device_id].success = true;
  EXPECT_THAT(Found(), Contains(HasSubstr("the plane says success")));
}

TEST_F(TruthTest, AFailureThatIsForgotten) {
  plane_.outcomes.erase(InPhase(1, false).device_id);
  EXPECT_THAT(Found(),
              Contains(HasSubstr("failure is not in the plane's account")));
}

TEST_F(TruthTest, ADeviceThatStandsThereTwice) {
  plane_.repeated = 1;
  EXPECT_THAT(Found(), Contains(HasSubstr("twice")));
}

TEST_F(TruthTest, ADeviceThatDidNothingAndIsCounted) {
  InPhase(1, true).attempts.clear();
  EXPECT_THAT(Found(), Contains(HasSubstr("it did nothing")));
  EXPECT_THAT(Found(), Contains(HasSubstr("without an update")));
}

TEST_F(TruthTest, ASuccessWithTheOldImageInFlash) {
  InPhase(0, true).committed_sha256 = std::string(32, 'o');
  EXPECT_THAT(Found(), Contains(HasSubstr("its flash holds another image")));
}

TEST_F(TruthTest, ASuccessWithAnotherDigest) {
  plane_.outcomes[InPhase(0, true).device_id].running_sha256 =
      std::string(32, 'x');
  EXPECT_THAT(Found(), Contains(HasSubstr("another image's digest")));
}

TEST_F(TruthTest, ACountThatIsNotTheSum) {
  ++plane_.phases[1].succeeded;
  EXPECT_THAT(Found(), Contains(HasSubstr("phase 1: the plane counts")));
}

TEST_F(TruthTest, ADeviceThatBeganEarly) {
  InPhase(1, true).attempts[0].started_ms = 4'900;
  EXPECT_THAT(Found(), Contains(HasSubstr("100 ms before phase 1")));
}

TEST_F(TruthTest, ADeviceInAPhaseThatIsNotItsOwn) {
  InPhase(1, true).attempts[0].phase = 0;
  EXPECT_THAT(Found(), Contains(HasSubstr("took part in phase 0")));
}

TEST_F(TruthTest, APhaseThatWasOpenedOnTooFewOutcomes) {
  facts_.opened_ms[1] = 2'500;  // before anybody had answered
  EXPECT_THAT(Found(), Contains(HasSubstr("too early")));
}

TEST_F(TruthTest, APhaseThatWasOpenedOnTooManyFailures) {
  facts_.document.mutable_phases(0)->mutable_gate()->set_success_permille(
      1'000);
  EXPECT_THAT(Found(), Contains(HasSubstr("too early")));
}

TEST_F(TruthTest, ADeviceThatNeverCame) {
  truths_.emplace_back();
  EXPECT_THAT(Found(), Contains(HasSubstr("never came")));
}

TEST_F(TruthTest, TheNewestReportOfADeviceCounts) {
  Truth& truth = InPhase(0, true);
  Attempt first = truth.attempts[0];
  first.success = false;
  first.finished_ms -= 500;
  truth.attempts.insert(truth.attempts.begin(), first);
  EXPECT_THAT(Found(), IsEmpty());
}

}  // namespace
}  // namespace shoal::sim
