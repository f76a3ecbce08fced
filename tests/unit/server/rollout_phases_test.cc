// Devices whose labels and groups change while a rollout is at work, by the
// rollout itself or by an operator.
#include "common/bytes.h"
#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

class RolloutPhasesTest : public RolloutReportsTest {
 protected:
  void PairAll(int count) {
    EnrollNode("n1");
    release_ = MakeRelease("2.0", "image two");
    for (int i = 0; i < count; ++i) {
      TestDevice device;
      Pair(device);
      ASSERT_OK(Take({Runs(device, "1.0", std::string(32, '1'))}));
      paired_.push_back(std::move(device));
    }
  }
  std::string Runs(const TestDevice& device, const std::string& version,
                   const std::string& sha256) {
    records::v1::DeviceReport report;
    report.set_device_type("gateway");
    report.set_box_key(device.box.public_key());
    report.set_running_sha256(sha256);
    report.set_running_version(version);
    return DeviceRecord(device, records::v1::RECORD_KIND_DEVICE_REPORT,
                        writer_->places().DeviceReport(device.id), ++reports_,
                        report.SerializeAsString());
  }
  // Of what runs less than 2.0.
  void MakeGroup() {
    fleet::v1::CreateGroupRequest request;
    request.set_group_id("old");
    request.mutable_group()->set_filter("running_version < 2.0");
    ASSERT_OK(groups_->Create(request, "operator:ann"));
    while (*groups_->Reconcile()) {
    }
  }
  void Begin(rollout::v1::CreateRolloutRequest request) {
    request.set_rollout_id("r1");
    request.set_release("releases/gateway/2.0");
    ASSERT_OK(rollouts_->Create(request, "operator:ann"));
    ASSERT_OK(driver_->Step());
    EmptyOutbox();
    ASSERT_OK(driver_->Step());
    ASSERT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  }
  void Label(const TestDevice& device, const std::string& ring) {
    ASSERT_OK(devices_->UpdateLabels("devices/" + HexEncode(device.id),
                                     {{"ring", ring}}, "", "operator:ann"));
  }
  // What the device says of a try that it began in `phase`.
  absl::Status Says(const TestDevice& device, uint32_t phase, bool good,
                    uint64_t counter) {
    records::v1::Outcome outcome;
    outcome.set_rollout_id("r1");
    outcome.set_device_id(device.id);
    outcome.set_result(good ? records::v1::OUTCOME_RESULT_SUCCESS
                            : records::v1::OUTCOME_RESULT_FAILED);
    outcome.set_counter(counter);
    outcome.set_phase(phase);
    outcome.set_finished(absl::ToUnixMillis(clock_.WallNow()));
    outcome.set_running_sha256(ReleaseDigest());
    return Take({DeviceRecord(device, records::v1::RECORD_KIND_OUTCOME,
                              writer_->places().Outcome("r1", device.id, 1),
                              counter, outcome.SerializeAsString())});
  }
  std::vector<TestDevice> paired_;
  uint64_t reports_ = 0;
};

// The report of the new version comes first and takes the device out of the
// group; its outcome comes in another batch.
TEST_F(RolloutPhasesTest, SuccessesOfAGroupThatTheUpdateItselfEmptiesCount) {
  PairAll(2);
  MakeGroup();
  rollout::v1::CreateRolloutRequest request;
  request.mutable_selector()->add_groups("old");
  Begin(request);
  ASSERT_EQ(Now().phases(0).expected(), 2u);
  for (const TestDevice& device : paired_)
    ASSERT_OK(Take({Runs(device, "2.0", ReleaseDigest())}));
  ASSERT_EQ(groups_->Get("groups/old")->member_count(), 0);
  ASSERT_OK(Says(paired_[0], 0, true, 1));
  EXPECT_EQ(Now().phases(0).succeeded(), 1u);
  // The other one has left too, but its answer is under way.
  clock_.Advance(absl::Minutes(11));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  ASSERT_OK(Says(paired_[1], 0, true, 1));
  EXPECT_EQ(Now().phases(0).succeeded(), 2u);
  clock_.Advance(absl::Minutes(11));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_FINISHED);
  EXPECT_EQ(Now().odd_outcomes(), 0u);
}

TEST_F(RolloutPhasesTest, WhoLeftTheGroupByTheImageIsWaitedForAWhile) {
  PairAll(2);
  MakeGroup();
  rollout::v1::CreateRolloutRequest request;
  request.mutable_selector()->add_groups("old");
  Begin(request);
  ASSERT_OK(Says(paired_[0], 0, true, 1));
  ASSERT_OK(Take({Runs(paired_[1], "2.0", ReleaseDigest())}));
  clock_.Advance(absl::Minutes(11));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  // As long as a device that is lost.
  clock_.Advance(absl::Hours(25));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_FINISHED);
}

TEST_F(RolloutPhasesTest, WhoIsRelabelledCountsWhereItBegan) {
  PairAll(3);
  for (const TestDevice& device : paired_) Label(device, "beta");
  rollout::v1::CreateRolloutRequest request;
  auto* beta = request.add_phases();
  (*beta->mutable_labels())["ring"] = "beta";
  request.add_phases()->set_percent(100);
  request.set_error_threshold_permille(1000);
  Begin(request);
  ASSERT_EQ(Now().phases(0).expected(), 3u);
  Label(paired_[0], "late");
  // It had begun in the first phase, which it says and the plane knows.
  ASSERT_OK(Says(paired_[0], 0, false, 1));
  EXPECT_EQ(Now().phases(0).failed(), 1u);
  // Its second try is one of the same phase.
  ASSERT_OK(Says(paired_[0], 0, true, 2));
  EXPECT_EQ(Now().phases(0).succeeded(), 1u);
  EXPECT_EQ(Now().phases(0).failed(), 0u);
  // One that began after it was relabelled.
  Label(paired_[1], "late");
  ASSERT_OK(Says(paired_[1], 1, true, 1));
  EXPECT_EQ(Now().phases(1).succeeded(), 1u);
  // Nobody is believed to have been where it never was.
  ASSERT_OK(Says(paired_[2], 1, true, 1));
  EXPECT_EQ(Now().phases(0).succeeded(), 2u);
}

TEST_F(RolloutPhasesTest, WhoIsLabelledOutOfTheRolloutStillCounts) {
  PairAll(2);
  Label(paired_[0], "beta");
  rollout::v1::CreateRolloutRequest request;
  (*request.mutable_selector()->mutable_labels())["ring"] = "beta";
  Begin(request);
  Label(paired_[0], "late");
  ASSERT_OK(Says(paired_[0], 0, false, 1));
  EXPECT_EQ(Now().phases(0).failed(), 1u);
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_HALTED);
  // One that it never selected does not.
  ASSERT_OK(Says(paired_[1], 0, true, 1));
  EXPECT_EQ(Now().outcome_count(), 1u);
}

}  // namespace
}  // namespace shoal::server
