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
  absl::Status Release(const std::string& version,
                       std::vector<std::string> needs) {
    SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(
        fleet_->Path("image"), std::string(40'000, version[0])));
    std::vector<std::string> add = {
        "image",         "add",   "--type",    "gateway",
        "--version",     version, "--counter", version.substr(0, 1),
        "--min-counter", "3"};
    add.insert(add.end(), needs.begin(), needs.end());
    add.push_back(fleet_->Path("image"));
    SHOAL_RETURN_IF_ERROR(fleet_->Sign(add));
    return fleet_
        ->Shoal({"release", "create", "--repo", fleet_->Path("repo"), "--type",
                 "gateway", "--version", version})
        .status();
  }
  absl::Status RollOut(const std::string& id, const std::string& version) {
    return fleet_
        ->Shoal({"rollout", "create", "--id", id, "--release",
                 "gateway/" + version, "--phase", "all:percent=100"})
        .status();
  }
  absl::Status Says(const std::vector<std::string>& command,
                    const std::string& text) {
    return WaitFor(
        "the plane to say " + text,
        [&] {
          const auto said = fleet_->Shoal(command);
          return said.ok() && said->find(text) != std::string::npos;
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

// A device of other hardware never will: it says so, and nobody waits for it.
TEST_F(FitTest, OtherHardwareRefusesForGood) {
  ASSERT_OK_AND_ASSIGN(fleet_, RealFleet::Start(dir_));
  Becomes("type = \"gateway\"\n", "type = \"gateway\"\nhardware = \"rev-a\"\n");
  ASSERT_OK(Release("6.0", {"--hardware", "rev-b"}));
  ASSERT_OK(RollOut("other", "6.0"));
  ASSERT_OK(fleet_->Shoal({"rollout", "watch", "other", "--timeout", "60s"}));
  ASSERT_OK(Says({"rollout", "get", "other", "--output", "json"},
                 "\"wrong_hardware\""));
  EXPECT_EQ(device().Status()["last_refusal"].value("reason", ""),
            "wrong_hardware");
  EXPECT_EQ(device().RunningVersion(), "3.0");
}

// A modem that is too old may be brought up: the rollout stays open for it.
TEST_F(FitTest, AComponentThatIsTooOldIsWaitedFor) {
  ASSERT_OK_AND_ASSIGN(fleet_, RealFleet::Start(dir_));
  Becomes("type = \"gateway\"\n",
          "type = \"gateway\"\nhardware = \"rev-b\"\n"
          "components = [\"modem=2\"]\n");
  ASSERT_OK(Release("6.0", {"--hardware", "rev-b", "--requires", "modem:3"}));
  ASSERT_OK(RollOut("fit", "6.0"));
  ASSERT_OK(WaitFor("the device to wait", [&] {
    return device().Status()["live"].value("waiting_reason", "") ==
           "dependency_unmet";
  }));
  const std::string id = device().Status().value("device_id", "");
  ASSERT_OK(Says({"device", "explain", id}, "dependency_unmet"));
  // Its answer is known, and ends nothing.
  ASSERT_OK(Says({"rollout", "get", "fit", "--output", "json"},
                 "\"dependency_unmet\""));
  ASSERT_OK(Says({"rollout", "get", "fit", "--output", "json"}, "ACTIVE"));
  EXPECT_EQ(device().RunningVersion(), "3.0");
  Becomes("modem=2", "modem=3");
  ASSERT_OK(WaitFor(
      "the update to 6.0",
      [&] { return device().RunningVersion() == "6.0" && device().Idle(); },
      absl::Seconds(60)));
  ASSERT_OK(fleet_->Shoal({"rollout", "watch", "fit", "--timeout", "60s"}));
}

}  // namespace
}  // namespace shoal::testing
