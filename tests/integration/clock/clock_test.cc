// Time without a clock, and without a management plane: the real programs, a
// device whose clock starts in 1970, and storage nodes that tell it the time.
#include "common/files.h"
#include "tests/support/device.h"
#include "tests/support/real_fleet.h"

namespace shoal::testing {
namespace {

class ClockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(
        fleet_, RealFleet::Start(dir_, {.nodes = 3, .time_keys = true}));
  }
  Device& device() { return fleet_->device(); }

  // A rollout that the nodes hold and the device, switched off, has not seen;
  // then the plane is gone for good.
  void PlaneLeaves(const std::string& rollout, const std::string& version) {
    device().PowerOff();
    std::map<std::string, size_t> before;
    for (const std::string& node : fleet_->nodes())
      before[node] = Refreshes(node);
    ASSERT_OK(
        fleet_->Shoal({"rollout", "create", "--id", rollout, "--release",
                       "gateway/" + version, "--phase", "all:percent=100"}));
    ASSERT_OK(WaitFor(
        "every node to hold the rollout",
        [&] {
          for (const std::string& node : fleet_->nodes())
            if (Refreshes(node) == before[node]) return false;
          return true;
        },
        absl::Seconds(60)));
    fleet_->KillPlane();
  }
  size_t Refreshes(const std::string& node) {
    const std::string log = fleet_->NodeLog(node);
    size_t count = 0;
    for (size_t at = log.find("event=refreshed"); at != log.npos;
         at = log.find("event=refreshed", at + 1))
      ++count;
    return count;
  }
  nlohmann::json Live() { return device().Status()["live"]; }
  void ExpectTheTimeIsKnown() {
    EXPECT_EQ(Live().value("clock", ""), "nodes");
    const absl::Time agreed =
        absl::FromUnixMillis(Live().value("clock_agreed_ms", int64_t{0}));
    EXPECT_LT(absl::AbsDuration(agreed - absl::Now()), absl::Minutes(10));
    // Durable, and not what the liar said.
    const int64_t floor =
        std::atoll(ReadText(device().data() + "/metadata/time_floor").c_str());
    EXPECT_LT(absl::AbsDuration(absl::FromUnixSeconds(floor) - absl::Now()),
              absl::Minutes(10));
  }

  TempDir dir_;
  std::unique_ptr<RealFleet> fleet_;
};

TEST_F(ClockTest, T26_ADeviceIn1970UpdatesFromStorageNodesAlone) {
  ASSERT_NO_FATAL_FAILURE(PlaneLeaves("next", "4.0"));
  // One node of three lies about the time, as one that was taken over, or one
  // whose battery is empty too; another is away.
  fleet_->StopNode("node-3");
  fleet_->ShiftClock("node-3", absl::Hours(24 * 365));
  ASSERT_OK(fleet_->RestartNode("node-3"));
  fleet_->StopNode("node-2");

  // 1970: what the one says and what the other says is no majority.
  device().SetClock(absl::UnixEpoch() + absl::Hours(1));
  device().PowerOn();
  ASSERT_OK(device().process().WaitForLog("event=time_unknown"));
  ASSERT_OK(WaitFor("the device to say why it waits", [&] {
    return Live().value("waiting_reason", "") == "unknown_time";
  }));
  EXPECT_EQ(Live().value("clock", ""), "floor");
  EXPECT_EQ(device().RunningVersion(), "3.0");

  // Two of three agree: the liar has no say.
  ASSERT_OK(fleet_->RestartNode("node-2"));
  ASSERT_OK(
      device().process().WaitForLog("event=time_agreed", absl::Seconds(60)));
  ASSERT_OK(WaitFor(
      "the update",
      [&] { return device().RunningVersion() == "4.0" && device().Idle(); },
      absl::Seconds(60)));
  // The new image has booted, in 1970 again: it asked anew.
  // (status shows the last run until this one has written its own.)
  ASSERT_OK(WaitFor("the time to be known again", [&] {
    const std::string log = device().process().Log();
    const size_t agreed = log.rfind("event=time_agreed");
    return agreed != log.npos && agreed > log.rfind("event=started") &&
           Live().value("clock", "") == "nodes";
  }));
  ExpectTheTimeIsKnown();
}

}  // namespace
}  // namespace shoal::testing
