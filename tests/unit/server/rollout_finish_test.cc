// Who a rollout waits for at its gates and at its end.
#include "server/rollout/explain.h"
#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

using records::v1::OUTCOME_RESULT_FAILED;
using records::v1::OUTCOME_RESULT_REFUSED;
using records::v1::OUTCOME_RESULT_SUCCESS;

class RolloutFinishTest : public RolloutReportsTest {
 protected:
  void Start(int count, rollout::v1::CreateRolloutRequest request = {}) {
    request.set_error_threshold_permille(1000);
    ActiveRollout(count, devices_of_, request);
  }
  // Canaries by count, then all.
  static rollout::v1::CreateRolloutRequest Canaries(uint32_t count) {
    rollout::v1::CreateRolloutRequest request;
    auto* canary = request.add_phases();
    canary->set_name("canary");
    canary->set_count(count);
    auto* all = request.add_phases();
    all->set_name("all");
    all->set_percent(100);
    return request;
  }
  rollout::v1::Rollout Stepped() {
    EXPECT_OK(driver_->Step());
    const auto rollout = rollouts_->Get("rollouts/r1");
    EXPECT_OK(rollout);
    return rollout.ok() ? *rollout : rollout::v1::Rollout();
  }
  bool Finished() {
    return Stepped().state() == rollout::v1::ROLLOUT_STATE_FINISHED;
  }
  std::vector<TestDevice> devices_of_;
  uint64_t report_ = 0;
};

TEST_F(RolloutFinishTest, AFirstTryThatFailedIsNotTheEnd) {
  ASSERT_NO_FATAL_FAILURE(Start(2));
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_FAILED, "no_source", 1, 2));
  ASSERT_OK(Answer(devices_of_[1], OUTCOME_RESULT_SUCCESS, "ok", 1));
  auto rollout = Stepped();
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  EXPECT_EQ(rollout.phases(0).failed(), 1u);
  EXPECT_EQ(rollout.phases(0).trying(), 1u);
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_FAILED, "no_source", 2, 1));
  EXPECT_FALSE(Finished());
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_SUCCESS, "ok", 3));
  rollout = Stepped();
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_FINISHED);
  EXPECT_EQ(rollout.phases(0).succeeded(), 2u);
  EXPECT_EQ(rollout.phases(0).trying(), 0u);
}

TEST_F(RolloutFinishTest, NobodyIsToldThatWhoTriesAgainHasAnswered) {
  ASSERT_NO_FATAL_FAILURE(Start(2));
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_FAILED, "no_source", 1, 2));
  ASSERT_OK(Answer(devices_of_[1], OUTCOME_RESULT_SUCCESS, "ok", 1));
  const Explainer explainer(*store_, *rollouts_, *devices_, *trust_,
                            writer_->fleet_id());
  ASSERT_OK_AND_ASSIGN(const auto rollout, explainer.Rollout("rollouts/r1"));
  EXPECT_THAT(rollout.summary(),
              ::testing::HasSubstr("1 devices of open phases have not"));
  ASSERT_OK_AND_ASSIGN(
      const auto device,
      explainer.Device("devices/" + HexEncode(devices_of_[0].id), ""));
  for (const auto& condition : device.conditions()) {
    if (condition.name() != "outcome") continue;
    EXPECT_THAT(condition.explanation(),
                ::testing::HasSubstr("the device tried at"));
    EXPECT_THAT(condition.explanation(),
                ::testing::HasSubstr("again by itself, 2 times at most"));
    return;
  }
  FAIL() << "no condition of the outcome";
}

TEST_F(RolloutFinishTest, TheLastTryIs) {
  ASSERT_NO_FATAL_FAILURE(Start(2));
  ASSERT_OK(Answer(devices_of_[1], OUTCOME_RESULT_SUCCESS, "ok", 1));
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_FAILED, "no_source", 3));
  EXPECT_TRUE(Finished());
}

TEST_F(RolloutFinishTest, WhoWaitsForItsModemIsWaitedFor) {
  ASSERT_NO_FATAL_FAILURE(Start(2));
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_SUCCESS, "ok", 1));
  ASSERT_OK(
      Answer(devices_of_[1], OUTCOME_RESULT_REFUSED, "dependency_unmet", 1));
  const auto rollout = Stepped();
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  EXPECT_EQ(rollout.phases(0).refused(), 0u);
  EXPECT_EQ(rollout.outcomes_size(), 2);  // it is shown all the same
  const Explainer explainer(*store_, *rollouts_, *devices_, *trust_,
                            writer_->fleet_id());
  ASSERT_OK_AND_ASSIGN(const auto explained, explainer.Rollout("rollouts/r1"));
  EXPECT_EQ(explained.summary(),
            "waits: devices_at_work: 1 devices of open phases have not "
            "answered");
  ASSERT_OK(Answer(devices_of_[1], OUTCOME_RESULT_SUCCESS, "ok", 2));
  EXPECT_TRUE(Finished());
}

// As many as there were have answered, but not all of them.
TEST_F(RolloutFinishTest, NewcomersEndItForNobody) {
  ASSERT_NO_FATAL_FAILURE(Start(2));
  TestDevice newcomer;
  Pair(newcomer);
  ASSERT_OK(Answer(newcomer, OUTCOME_RESULT_SUCCESS, "ok", 1));
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_SUCCESS, "ok", 1));
  EXPECT_FALSE(Finished());
  ASSERT_OK(Answer(devices_of_[1], OUTCOME_RESULT_SUCCESS, "ok", 1));
  EXPECT_FALSE(Finished());  // it was looked a moment ago
  clock_.Advance(absl::Seconds(30));
  EXPECT_TRUE(Finished());
}

TEST_F(RolloutFinishTest, WhoWasDecommissionedIsNotWaitedFor) {
  ASSERT_NO_FATAL_FAILURE(Start(2));
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_SUCCESS, "ok", 1));
  EXPECT_FALSE(Finished());
  ASSERT_OK(devices_->Decommission("devices/" + HexEncode(devices_of_[1].id),
                                   "stolen", "operator:ann"));
  clock_.Advance(absl::Minutes(10));
  EXPECT_TRUE(Finished());
}

// It tried once, and then refused for good: no try will come.
TEST_F(RolloutFinishTest, ARefusalBehindATryIsTheLastWord) {
  ASSERT_NO_FATAL_FAILURE(Start(2));
  ASSERT_OK(Answer(devices_of_[1], OUTCOME_RESULT_SUCCESS, "ok", 1));
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_FAILED, "no_source", 1, 2));
  EXPECT_FALSE(Finished());
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_REFUSED, "below_floor", 2));
  const auto rollout = Stepped();
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_FINISHED);
  EXPECT_EQ(rollout.phases(0).failed(), 1u);
  EXPECT_EQ(rollout.phases(0).trying(), 0u);
}

TEST_F(RolloutFinishTest, OneDeadCanaryDoesNotShutTheGate) {
  auto request = Canaries(3);
  request.set_lost_after_seconds(3600);
  ASSERT_NO_FATAL_FAILURE(Start(5, request));
  const auto rollout = rollouts_->Get("rollouts/r1");
  ASSERT_OK(rollout);
  int answered = 0;
  for (const TestDevice& device : devices_of_) {
    rules::DeviceFacts facts;
    facts.id = device.id;
    facts.device_type = "gateway";
    if (rules::PhaseOf(rollout->document(), facts) != 0 || ++answered > 2)
      continue;
    ASSERT_OK(Answer(device, OUTCOME_RESULT_SUCCESS, "ok", 1));
  }
  ASSERT_EQ(answered, 3);
  EXPECT_EQ(Stepped().document().open_phase(), 0u);
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(Stepped().document().open_phase(), 1u);
}

// Its window is shut, its owner has not agreed: it says so, and is not lost.
TEST_F(RolloutFinishTest, WhoMerelyWaitsIsNotLost) {
  ASSERT_NO_FATAL_FAILURE(Start(4));
  const auto lost = [this] { return Stepped().phases(0).lost(); };
  for (int hours = 0; hours < 48; hours += 12) {
    ASSERT_OK(Take({Waits(devices_of_[0], "outside_window", ++report_),
                    Waits(devices_of_[1], "needs_consent", report_),
                    Waits(devices_of_[2], "", report_)}));
    clock_.Advance(absl::Hours(12));
  }
  EXPECT_EQ(lost(), 1u) << "the one that was never heard of";
  // From here on nothing is heard of any.
  clock_.Advance(absl::Hours(11));
  EXPECT_EQ(lost(), 1u);
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(lost(), 4u);
  ASSERT_OK(Take({Waits(devices_of_[0], "outside_window", ++report_)}));
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(lost(), 3u);
}

// Reports of one that waits come every twelve hours, however soon a device is
// to be called lost.
TEST_F(RolloutFinishTest, AShortLostAfterIsForThoseWhoDoNotWait) {
  rollout::v1::CreateRolloutRequest request;
  request.set_lost_after_seconds(60);
  ASSERT_NO_FATAL_FAILURE(Start(2, request));
  ASSERT_OK(Take({Waits(devices_of_[0], "outside_window", 1),
                  Waits(devices_of_[1], "", 1)}));
  clock_.Advance(absl::Hours(12));
  EXPECT_EQ(Stepped().phases(0).lost(), 1u);
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(Stepped().phases(0).lost(), 2u);
}

TEST_F(RolloutFinishTest, DecommissionedCanariesDoNotShutTheGate) {
  ASSERT_NO_FATAL_FAILURE(Start(5, Canaries(3)));
  const auto document = rollouts_->Get("rollouts/r1")->document();
  std::vector<const TestDevice*> canaries;
  for (const TestDevice& device : devices_of_) {
    rules::DeviceFacts facts;
    facts.id = device.id;
    facts.device_type = "gateway";
    if (rules::PhaseOf(document, facts) == 0) canaries.push_back(&device);
  }
  ASSERT_EQ(canaries.size(), 3u);
  ASSERT_OK(Answer(*canaries[0], OUTCOME_RESULT_SUCCESS, "ok", 1));
  EXPECT_EQ(Stepped().document().open_phase(), 0u);
  for (const size_t i : {1, 2})
    ASSERT_OK(devices_->Decommission("devices/" + HexEncode(canaries[i]->id),
                                     "stolen", "operator:ann"));
  EXPECT_EQ(Stepped().document().open_phase(), 1u);
}

TEST_F(RolloutFinishTest, AnAcceptedFailureThatIsNoneMakesNoRoomForAnother) {
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(200);
  ActiveRollout(5, devices_of_, request);
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_FAILED, "sick", 1, 2));
  EXPECT_EQ(Stepped().state(), rollout::v1::ROLLOUT_STATE_HALTED);
  rollout::v1::ResumeRolloutRequest resume;
  resume.set_name("rollouts/r1");
  resume.set_accept_failures(true);
  ASSERT_OK(rollouts_->Resume(resume, "operator:ann", true));
  EXPECT_EQ(Stepped().state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  ASSERT_OK(Answer(devices_of_[0], OUTCOME_RESULT_SUCCESS, "ok", 2));
  EXPECT_EQ(Stepped().state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  ASSERT_OK(Answer(devices_of_[1], OUTCOME_RESULT_FAILED, "sick", 1));
  EXPECT_EQ(Stepped().state(), rollout::v1::ROLLOUT_STATE_HALTED);
}

}  // namespace
}  // namespace shoal::server
