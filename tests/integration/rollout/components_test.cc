// A release of several artifacts by the real programs: signed offline, spread
// by a rollout, installed by a device that has a modem beside its image.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "tests/support/real_fleet.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

// A modem as its maker's tool would drive it: it keeps its firmware, and what
// it had before until it is told to forget.
constexpr char kModemProgram[] = R"sh(#!/bin/sh
set -e
cd "$(dirname "$0")"
case "$1" in
  counter) cat counter ;;
  install)
    if [ -e refuses ]; then echo "no answer from the modem"; exit 3; fi
    [ -e before ] || cp counter before
    cp "$2" firmware
    echo "$SHOAL_COUNTER" > counter ;;
  commit) rm -f before ;;
  rollback) [ ! -e before ] || mv before counter ;;
esac
)sh";

class ComponentsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(fleet_, RealFleet::Start(dir_));
    ASSERT_OK(RealFileSystem().MakeDirectories(dir_.File("modem")));
    WriteText(dir_.File("modem/program"), kModemProgram);
    ASSERT_EQ(chmod(dir_.File("modem/program").c_str(), 0700), 0);
    WriteText(dir_.File("modem/counter"), "2\n");
    device().PowerOff();
    device().Configure("\n[components.modem]\nprogram = \"" +
                       dir_.File("modem/program") + "\"\n");
    device().PowerOn();
  }
  Device& device() { return fleet_->device(); }
  // A gateway image that needs the modem's `counter`, which comes with it.
  absl::Status Release(const std::string& version, const std::string& image,
                       const std::string& counter) {
    const auto add = [&](const std::string& bytes,
                         std::vector<std::string> more) {
      WriteText(dir_.File("artifact"), bytes);
      std::vector<std::string> line = {"image",   "add",       "--type",
                                       "gateway", "--version", version};
      line.insert(line.end(), more.begin(), more.end());
      line.push_back(dir_.File("artifact"));
      return fleet_->Sign(line);
    };
    SHOAL_RETURN_IF_ERROR(add(std::string(40'000, 'i') + version,
                              {"--counter", image, "--min-counter", "3",
                               "--requires", "modem:" + counter}));
    SHOAL_RETURN_IF_ERROR(add(std::string(9'000, 'm') + version,
                              {"--artifact", "modem", "--counter", counter}));
    return fleet_
        ->Shoal({"release", "create", "--repo", fleet_->Path("repo"), "--type",
                 "gateway", "--version", version})
        .status();
  }
  absl::Status RollOut(const std::string& id, const std::string& version) {
    WriteText(dir_.File(id + ".yaml"), "release: gateway/" + version + "\nid: " + id +
                                 "\nretry: {attempts: 1}\n");
    return fleet_->Shoal({"rollout", "create", "-f", dir_.File(id + ".yaml")}).status();
  }
  // What the plane has of the device, once it says `text`.
  absl::Status Tells(std::vector<std::string> command,
                     const std::string& text) {
    std::string said;
    const absl::Status status = WaitFor(
        "the plane to say " + text,
        [&] {
          const auto output = fleet_->Shoal(command);
          said = output.ok() ? *output : output.status().ToString();
          return said.find(text) != std::string::npos;
        },
        absl::Seconds(60));
    return status.ok() ? status : Internal("not_said", said);
  }
  std::string DeviceId() { return device().Status().value("device_id", ""); }
  std::string Counter() { return ReadText(dir_.File("modem/counter")); }

  TempDir dir_;
  std::unique_ptr<RealFleet> fleet_;
};

TEST_F(ComponentsTest, T25_AnImageAndItsModemGoTogetherOrNotAtAll) {
  ASSERT_OK(Tells({"device", "get", DeviceId(), "--output", "json"},
                  "\"component.modem\": \"2\""));
  ASSERT_OK(Release("6.0", "6", "3"));
  ASSERT_OK(RollOut("both", "6.0"));
  ASSERT_OK(fleet_->Shoal({"rollout", "watch", "both", "--timeout", "60s"}));
  EXPECT_EQ(device().RunningVersion(), "6.0");
  EXPECT_EQ(Counter(), "3\n");
  EXPECT_EQ(ReadText(dir_.File("modem/firmware")),
            std::string(9'000, 'm') + "6.0");
  EXPECT_FALSE(RealFileSystem().Exists(dir_.File("modem/before")));
  ASSERT_OK(Tells({"device", "get", DeviceId(), "--output", "json"},
                  "\"component.modem\": \"3\""));

  // The next modem does not take its firmware: the image goes back too, and
  // the report says which part it was.
  WriteText(dir_.File("modem/refuses"), "");
  ASSERT_OK(Release("7.0", "7", "4"));
  ASSERT_OK(RollOut("sick", "7.0"));
  ASSERT_OK(Tells({"rollout", "get", "sick", "--output", "json"},
                  "\"component_failed\""));
  ASSERT_OK(Tells({"rollout", "get", "sick", "--output", "json"},
                  "component modem: modem install: exit"));
  ASSERT_OK(WaitFor("the device to be back", [&] {
    return device().RunningVersion() == "6.0" && device().Idle();
  }));
  EXPECT_EQ(Counter(), "3\n");
}

// Nobody installs this device's modem but its owner, who has not done so.
TEST_F(ComponentsTest, T25_WithoutTheModemsProgramTheImageIsNotTaken) {
  device().PowerOff();
  device().Replace("[components.modem]", "[commands.modem]");
  device().Replace("[device]\n", "[device]\ncomponents = [\"modem=2\"]\n");
  device().PowerOn();
  ASSERT_OK(Release("6.0", "6", "3"));
  ASSERT_OK(RollOut("both", "6.0"));
  ASSERT_OK(Tells({"rollout", "get", "both", "--output", "json"},
                  "\"dependency_unmet\""));
  ASSERT_OK(Tells({"device", "explain", DeviceId()}, "dependency_unmet"));
  EXPECT_EQ(device().RunningVersion(), "3.0");
  EXPECT_EQ(Counter(), "2\n");
}

}  // namespace
}  // namespace shoal::testing
