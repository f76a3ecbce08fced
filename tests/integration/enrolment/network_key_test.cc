// The network key changes when a device leaves: those that stay follow, one
// that was away comes back by itself, and the one that left stays out.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/bytes.h"
#include "tests/support/real_fleet.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

using nlohmann::json;

class NetworkKeyPrograms : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(fleet_,
                         RealFleet::StartEmpty(dir_,
                                               "\n[network]\nkey_overlap = "
                                               "\"4s\"\n"));
    ASSERT_OK(RealFileSystem().WriteAtomic(dir_.File("image"),
                                           std::string(4000, 'i')));
    for (const std::string& name : nodes_)
      fleet_->AddNodeSettings(name, "\n[store]\nsweep_interval = \"500ms\"\n");
    for (const std::string& name : nodes_) ASSERT_OK(fleet_->RestartNode(name));
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
  std::string IdOf(Device& device) {
    return device.Status().value("device_id", "");
  }
  int64_t ConnectedNodes(Device& device) {
    const json status = device.Status();
    return status.contains("live")
               ? status["live"].value("connected_nodes", int64_t{0})
               : 0;
  }
  int64_t LastSeen(const std::string& id) {
    const auto text = fleet_->Shoal({"device", "get", id, "--output", "json"});
    if (!text.ok()) return 0;
    const json device = json::parse(*text, nullptr, false);
    for (const char* name : {"last_seen_at", "lastSeenAt"})
      if (device.contains(name))
        return device[name].is_string()
                   ? std::stoll(device[name].get<std::string>())
                   : device[name].get<int64_t>();
    return 0;
  }

  TempDir dir_;
  std::unique_ptr<RealFleet> fleet_;
  const std::vector<std::string> nodes_ = {"node-1", "node-2"};
};

TEST_F(NetworkKeyPrograms, T52_WhoLeftStaysOutAndWhoWasAwayComesBack) {
  auto stays = Paired("stays");
  auto away = Paired("away");
  auto leaves = Paired("leaves");
  const std::string away_id = IdOf(*away);
  for (Device* device : {stays.get(), away.get(), leaves.get()})
    ASSERT_OK(WaitFor("the first report",
                      [&] { return LastSeen(IdOf(*device)) > 0; }));
  away->PowerOff();
  leaves->PowerOff();

  ASSERT_OK(fleet_->Shoal({"device", "decommission", IdOf(*leaves), "--reason",
                           "stolen", "--yes"}));
  ASSERT_OK(
      stays->process().WaitForLog("event=network_keys", absl::Seconds(60)));
  // The overlap ends: nodes take the old key for one question only.
  for (const std::string& name : nodes_)
    ASSERT_OK(fleet_->node(name).WaitForLog("in_force=2 retired=1",
                                            absl::Seconds(60)));
  // The plane is not needed for what follows.
  const int64_t before = LastSeen(away_id);
  fleet_->KillPlane();

  leaves->PowerOn();
  away->PowerOn();
  ASSERT_OK(
      away->process().WaitForLog("event=network_keys", absl::Seconds(90)));
  ASSERT_OK(WaitFor(
      "the device that was away to be connected",
      [&] { return ConnectedNodes(*away) > 0; }, absl::Seconds(60)));
  // It had as much time as the other.
  EXPECT_EQ(ConnectedNodes(*leaves), 0);
  EXPECT_EQ(leaves->process().Log().find("event=network_keys"),
            std::string::npos);

  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(WaitFor(
      "a report under the new key", [&] { return LastSeen(away_id) > before; },
      absl::Seconds(60)));
  EXPECT_GT(ConnectedNodes(*stays), 0);
}

}  // namespace
}  // namespace shoal::testing
