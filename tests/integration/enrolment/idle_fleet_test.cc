// A fleet in which nothing happens for longer than a timestamp lives: the
// plane's renewals reach whoever is there, and whoever comes.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "signing/metadata/metadata.h"
#include "tests/support/real_fleet.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

class IdleFleet : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(fleet_,
                         RealFleet::StartEmpty(dir_,
                                               "\n[trust]\n"
                                               "timestamp_lifetime = \"20s\"\n"
                                               "timestamp_renewal = \"5s\"\n"));
    ASSERT_OK(RealFileSystem().WriteAtomic(dir_.File("image"),
                                           std::string(4000, 'i')));
  }
  std::unique_ptr<Device> Paired(const std::string& name) {
    auto device = fleet_->NewDevice(name, dir_.File("image"));
    EXPECT_OK(device);
    if (!device.ok()) return nullptr;
    (*device)->PowerOn();
    EXPECT_OK(
        (*device)->process().WaitForLog("event=paired", absl::Seconds(60)));
    return *std::move(device);
  }
  // When a timestamp in a file runs out.
  static absl::Time ExpiryIn(const std::string& path) {
    const auto timestamp = signing::ParseTimestamp(ReadText(path));
    return timestamp.ok() ? timestamp->value.expires : absl::InfinitePast();
  }
  static absl::Time ExpiryOf(Device& device) {
    return ExpiryIn(device.data() + "/metadata/timestamp.json");
  }

  TempDir dir_;
  std::unique_ptr<RealFleet> fleet_;
};

TEST_F(IdleFleet, T05_RenewalsReachWhoIsThereAndWhoComes) {
  auto device = Paired("first");
  ASSERT_OK(
      WaitFor("metadata", [&] { return ExpiryOf(*device) > absl::Now(); }));
  // Nobody asks for anything, and the device's next poll is minutes away.
  const absl::Time end = ExpiryOf(*device) + absl::Seconds(5);
  int stale = 0;
  ASSERT_OK(WaitFor(
      "a lifetime to pass",
      [&] {
        stale += ExpiryOf(*device) <= absl::Now();
        return absl::Now() > end;
      },
      absl::Seconds(60)));
  EXPECT_EQ(stale, 0);
  EXPECT_EQ(device->Status().value("last_refusal", nlohmann::json()),
            nlohmann::json());

  for (const std::string& node : fleet_->nodes()) {
    const std::string served =
        fleet_->Path(node) + "/public/metadata/timestamp.json";
    EXPECT_GT(ExpiryIn(served), absl::Now()) << served;
  }
  auto late = Paired("late");
  EXPECT_OK(WaitFor("metadata of the one that came late",
                    [&] { return ExpiryOf(*late) > absl::Now(); }));

  // What the fleet tool kept has run out by now: it finds the newest in the
  // network, with the plane down too.
  fleet_->KillPlane();
  ASSERT_OK_AND_ASSIGN(const std::string status,
                       fleet_->Shoal({"log", "verify"}));
  EXPECT_EQ(status.find("expired"), std::string::npos) << status;
}

}  // namespace
}  // namespace shoal::testing
