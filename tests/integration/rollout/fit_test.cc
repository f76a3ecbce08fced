// An image that says what it fits, by the real programs: the device refuses it
// until it fits, says why, and the plane knows.
#include <gtest/gtest.h>

#include "tests/support/real_fleet.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

class FitTest : public ::testing::Test {
 protected:
  Device& device() { return fleet_->device(); }
  // Both the device itself and, asked by an operator, the plane.
  absl::Status Waits(const std::string& reason) {
    SHOAL_RETURN_IF_ERROR(WaitFor(
        "the device to wait: " + reason,
        [&] {
          return device().Status()["live"].value("waiting_reason", "") ==
                 reason;
        },
        absl::Seconds(60)));
    const std::string id = device().Status().value("device_id", "");
    return WaitFor(
        "the plane to explain: " + reason,
        [&] {
          const auto text = fleet_->Shoal({"device", "explain", id});
          return text.ok() && text->find(reason) != std::string::npos;
        },
        absl::Seconds(60));
  }
  void Becomes(const std::string& before, const std::string& after) {
    device().PowerOff();
    device().Replace(before, after);
    device().PowerOn();
  }

  TempDir dir_;
  std::unique_ptr<RealFleet> fleet_;
};

TEST_F(FitTest, ADeviceTakesAnImageOnceHardwareAndComponentsFit) {
  ASSERT_OK_AND_ASSIGN(fleet_, RealFleet::Start(dir_));
  Becomes("type = \"gateway\"\n",
          "type = \"gateway\"\nhardware = \"rev-a\"\n"
          "components = [\"modem=2\"]\n");
  ASSERT_OK(RealFileSystem().WriteAtomic(fleet_->Path("image"),
                                         std::string(40'000, '6')));
  ASSERT_OK(
      fleet_->Sign({"image", "add", "--type", "gateway", "--version", "6.0",
                    "--counter", "6", "--min-counter", "3", "--hardware",
                    "rev-b", "--requires", "modem:3", fleet_->Path("image")}));
  ASSERT_OK(fleet_->Shoal({"release", "create", "--repo", fleet_->Path("repo"),
                           "--type", "gateway", "--version", "6.0"}));
  ASSERT_OK(fleet_->Shoal({"rollout", "create", "--id", "fit", "--release",
                           "gateway/6.0", "--phase", "all:percent=100"}));
  ASSERT_OK(Waits("wrong_hardware"));
  // The modem is still too old.
  Becomes("rev-a", "rev-b");
  ASSERT_OK(Waits("dependency_unmet"));
  EXPECT_EQ(device().RunningVersion(), "3.0");
  Becomes("modem=2", "modem=3");
  ASSERT_OK(WaitFor(
      "the update to 6.0",
      [&] { return device().RunningVersion() == "6.0" && device().Idle(); },
      absl::Seconds(60)));
}

}  // namespace
}  // namespace shoal::testing
