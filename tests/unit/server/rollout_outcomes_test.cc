#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

class RolloutOutcomesTest : public RolloutPlaneTest {};

TEST_F(RolloutOutcomesTest, T27_AForgedOrReplayedOutcomeDoesNotCount) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(1000);
  ActiveRollout(3, devices, request);
  // Success with another digest is no success.
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          std::string(32, 'x'), 5)}));
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  ASSERT_EQ(rollout.outcomes_size(), 1);
  EXPECT_FALSE(rollout.outcomes(0).success());
  EXPECT_EQ(rollout.outcomes(0).reason(), "wrong_digest");
  // An older counter does not replace a newer one.
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 4)}));
  EXPECT_FALSE(rollouts_->Get("rollouts/r1")->outcomes(0).success());
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 6)}));
  EXPECT_TRUE(rollouts_->Get("rollouts/r1")->outcomes(0).success());
  // One device in another's name, or with another's credential.
  TestDevice forger;
  forger.id = devices[1].id;
  forger.credential = devices[1].credential;
  ASSERT_OK(Take({OutcomeRecord(
      forger, "r1", records::v1::OUTCOME_RESULT_SUCCESS, ReleaseDigest(), 1)}));
  forger.key = devices[0].key.Clone();
  forger.credential = devices[0].credential;
  ASSERT_OK(Take({OutcomeRecord(
      forger, "r1", records::v1::OUTCOME_RESULT_SUCCESS, ReleaseDigest(), 9)}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 1);
}

TEST_F(RolloutOutcomesTest, T42_AnOutcomeAtAnotherShardDoesNotCount) {
  // Few devices: one place for all of them, and only that one.
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  uint32_t shards = 2;
  while (dht::OutcomeShardOf(devices[0].id, shards) == 0 &&
         shards < dht::kMaxOutcomeShards)
    shards *= 2;
  if (dht::OutcomeShardOf(devices[0].id, shards) == 0) {
    GTEST_SKIP() << "this device's id begins with eight zero bits";
  }
  records::v1::Outcome outcome;
  outcome.set_rollout_id("r1");
  outcome.set_device_id(devices[0].id);
  outcome.set_result(records::v1::OUTCOME_RESULT_SUCCESS);
  outcome.set_running_sha256(ReleaseDigest());
  outcome.set_counter(1);
  ASSERT_OK(
      Take({DeviceRecord(devices[0], records::v1::RECORD_KIND_OUTCOME,
                         writer_->places().Outcome("r1", devices[0].id, shards),
                         1, outcome.SerializeAsString())}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 0);
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 2)}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 1);
}

TEST_F(RolloutOutcomesTest, RefusalsAreShownButAreNoFailures) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(1);
  ActiveRollout(2, devices, request);
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_REFUSED,
                          std::string(32, 'o'), 1)}));
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  EXPECT_EQ(rollout.phases(0).refused(), 1u);
  EXPECT_EQ(rollout.phases(0).failed(), 0u);
  ASSERT_EQ(rollout.outcomes_size(), 1);
  EXPECT_TRUE(rollout.outcomes(0).refused());
  EXPECT_EQ(rollout.outcomes(0).reason(), "sick");
  ASSERT_OK(
      Take({OutcomeRecord(devices[1], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 1)}));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_FINISHED)
      << "every device has answered";
}

}  // namespace
}  // namespace shoal::server
