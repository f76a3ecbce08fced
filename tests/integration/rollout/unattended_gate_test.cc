// A time gate without a management plane, by the real programs: shoald is
// killed as soon as the rollout is published. The device behind the gate opens
// it on a good outcome of the canary that it read from the storage nodes, and
// keeps it shut on a bad one; then an operator halts through the one node that
// is left.
#include <gtest/gtest.h>

#include "tests/support/real_fleet.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

constexpr char kRollout[] =
    "release: gateway/4.0\n"
    "id: dark\n"
    "unattended: true\n"
    "retry: {attempts: 1}\n"
    "phases:\n"
    "  - name: canary\n"
    "    labels: {ring: canary}\n"
    "    gate: {soak: 20s}\n"
    "  - name: all\n"
    "    percent: 100\n";

class UnattendedGateTest : public ::testing::Test {
 protected:
  // A fleet of the canary and one more; the rollout is published and the plane
  // is gone.
  void StartDark(const std::string& canary_settings) {
    ASSERT_OK_AND_ASSIGN(fleet_, RealFleet::Start(dir_));
    ASSERT_OK_AND_ASSIGN(canary_,
                         fleet_->NewDevice("canary", fleet_->Path("factory")));
    canary_->Replace("interval = \"60s\"", "interval = \"200ms\"");
    canary_->Configure(canary_settings);
    canary_->PowerOn();
    ASSERT_OK(canary_->process().WaitForLog("event=paired"));
    const std::string id = canary_->Status().value("device_id", "");
    ASSERT_OK(fleet_->Shoal({"device", "label", id, "ring=canary"}));
    ASSERT_OK(canary_->process().WaitForLog("event=assignment_changed",
                                            absl::Seconds(60)));
    // It tries when no plane is there any more to halt a rollout.
    canary_->PowerOff();
    ASSERT_OK(
        RealFileSystem().WriteAtomic(fleet_->Path("dark.yaml"), kRollout));
    ASSERT_OK(fleet_->Shoal({"rollout", "create", "-f",
                             fleet_->Path("dark.yaml"), "--wait-published"}));
    fleet_->KillPlane();
    canary_->PowerOn();
  }
  Device& device() { return fleet_->device(); }
  absl::Status Waits(const std::string& reason) {
    return WaitFor(
        "the device to wait: " + reason,
        [&] {
          return device().Status()["live"].value("waiting_reason", "") ==
                 reason;
        },
        absl::Seconds(60));
  }
  static absl::Status Runs(Device& device, const std::string& version) {
    return WaitFor(
        "a device to run " + version,
        [&] { return device.RunningVersion() == version && device.Idle(); },
        absl::Seconds(90));
  }

  TempDir dir_;
  std::unique_ptr<RealFleet> fleet_;
  std::unique_ptr<Device> canary_;
};

TEST_F(UnattendedGateTest, T29_OpensOnAGoodOutcome) {
  ASSERT_NO_FATAL_FAILURE(StartDark(""));
  ASSERT_OK(Runs(*canary_, "4.0"));
  ASSERT_OK(device().process().WaitForLog("event=gate_opened_unattended",
                                          absl::Seconds(90)));
  ASSERT_OK(Runs(device(), "4.0"));
}

TEST_F(UnattendedGateTest, T28_T29_StaysShutOnABadOneAndOneNodeCarriesAHalt) {
  ASSERT_NO_FATAL_FAILURE(
      StartDark("\n[health]\ncommand = [\"/bin/false\"]\n"));
  // Read once the time is over: what keeps it shut is the outcome.
  ASSERT_OK(device().process().WaitForLog("phase=0 succeeded=0 failed=1",
                                          absl::Seconds(90)));
  ASSERT_OK(Waits("phase_closed"));
  EXPECT_EQ(device().RunningVersion(), "3.0");
  fleet_->StopNode(fleet_->nodes().back());
  // It is on one disk only, which the tool may say.
  const auto halted = fleet_->Shoal(
      {"rollout", "halt", "dark", "--type", "gateway", "--reason", "smoke"});
  ASSERT_OK(
      device().process().WaitForLog("event=rollout_halted", absl::Seconds(60)))
      << halted.status();
  ASSERT_OK(Waits("halted"));
  EXPECT_EQ(device().RunningVersion(), "3.0");
}

}  // namespace
}  // namespace shoal::testing
