// What devices run is counted as they change, and read without them.
#include "server/fleet/running_images.h"

#include "tests/unit/server_fleet/fleet_fixture.h"

namespace shoal::server {
namespace {

class RunningImagesTest : public FleetTest {
 protected:
  static std::string Hex(char c) { return HexEncode(std::string(32, c)); }
  static store::DeviceRow Running(
      uint32_t number, char image,
      const std::map<std::string, std::string>& inventory = {}) {
    store::DeviceRow row = NewRow(number);
    row.mutable_device()->set_running_sha256(Hex(image));
    row.mutable_device()->mutable_inventory()->insert(inventory.begin(),
                                                      inventory.end());
    return row;
  }
  uint64_t Count(char image) {
    auto images = RunningImages(*store_, "gateway");
    EXPECT_OK(images);
    return images.ok() ? (*images)[Hex(image)].devices : 0;
  }
};

TEST_F(RunningImagesTest, FollowEveryChangeOfADevice) {
  PutRow(Running(1, 'a'));
  PutRow(Running(2, 'a'));
  PutRow(Running(3, 'b'));
  EXPECT_EQ(Count('a'), 2u);
  EXPECT_EQ(Count('b'), 1u);
  PutRow(Running(2, 'b'));
  EXPECT_EQ(Count('a'), 1u);
  EXPECT_EQ(Count('b'), 2u);
  store::DeviceRow gone = RowOf(1);
  gone.mutable_device()->set_state(fleet::v1::ENROLMENT_STATE_DECOMMISSIONED);
  PutRow(gone);
  EXPECT_EQ(Count('a'), 0u);
  {
    Transaction tx(*store_);
    tx.Delete(kDevices, Name(2).substr(8));
    ASSERT_OK(tx.Commit());
  }
  EXPECT_EQ(Count('b'), 1u);
  // What no image can be counts for nothing.
  store::DeviceRow odd = Running(4, 'c');
  odd.mutable_device()->set_running_sha256("ff");
  PutRow(odd);
  ASSERT_OK_AND_ASSIGN(const auto images, RunningImages(*store_, "gateway"));
  EXPECT_EQ(images.size(), 1u);
  EXPECT_TRUE(RunningImages(*store_, "gatewa")->empty());
}

TEST_F(RunningImagesTest, KnowWhatTheDevicesCanDoWithDeltas) {
  std::map<std::string, std::string> inventory;
  rules::TellDeltaAbilities({false, true, 3u << 20}, inventory);
  PutRow(Running(1, 'a', inventory));
  PutRow(Running(2, 'a', inventory));
  PutRow(Running(3, 'a'));
  const rules::DeltaTools tools{3, {"zlib 1.2.13", "zstd 1.5.4"}};
  rules::TellDeltaAbilities({true, true, {}, tools}, inventory);
  PutRow(Running(4, 'b', inventory));
  ASSERT_OK_AND_ASSIGN(const auto images, RunningImages(*store_, "gateway"));
  const RunningDevices& devices = images.at(Hex('a'));
  EXPECT_EQ(devices.devices, 3u);
  ASSERT_EQ(devices.abilities.size(), 2u);
  ASSERT_EQ(images.at(Hex('b')).abilities.size(), 1u);
  EXPECT_EQ(images.at(Hex('b')).abilities[0].abilities.tools, tools);
  const auto demand = rules::DemandOf(devices.abilities, tools);
  ASSERT_TRUE(demand);
  EXPECT_EQ(demand->format, rules::kBsdiff40);
  EXPECT_EQ(demand->memory, 3u << 20);
}

// Which deltas are wanted is asked at each look of the worker and the driver:
// at 100,000 devices none of them may be read for it.
TEST_F(RunningImagesTest, NoDeviceIsReadToKnowWhatRuns) {
  testing::TempDir dir;
  const auto open = [&]() -> std::unique_ptr<Store> {
    auto kv = kv::Store::Open(dir.File("store"), {});
    EXPECT_OK(kv);
    auto store = Store::Open(*std::move(kv), clock_);
    EXPECT_OK(store);
    return *std::move(store);
  };
  {
    auto store = open();
    ASSERT_OK_AND_ASSIGN(auto changes, DeviceChanges::Open(*store, *writer_));
    Transaction tx(*store);
    for (uint32_t i = 1; i <= 50; ++i)
      tx.Put(kDevices, Name(i).substr(8), Running(i, i <= 20 ? 'a' : 'b'));
    ASSERT_OK(tx.Commit());
  }
  {
    // Whoever reads a device from now on fails.
    auto kv = kv::Store::Open(dir.File("store"), {});
    ASSERT_OK(kv);
    kv::WriteBatch batch;
    for (uint32_t i = 1; i <= 50; ++i)
      batch.Put(kv::kDefaultFamily,
                std::string("device\0", 7) + Name(i).substr(8), "\xff");
    ASSERT_OK((*kv)->Write(batch, true));
  }
  auto store = open();
  EXPECT_EQ(ReasonOf(store->Scan<store::DeviceRow>(
                kDevices, "", "",
                [](std::string_view, const auto&) { return true; })),
            "bad_row");
  ASSERT_OK_AND_ASSIGN(auto images, RunningImages(*store, "gateway"));
  EXPECT_EQ(images[Hex('a')].devices, 20u);
  EXPECT_EQ(images[Hex('b')].devices, 30u);
}

TEST_F(RunningImagesTest, AStoreWithoutCountsGetsThemOnce) {
  testing::TempDir dir;
  const auto open = [&]() -> std::unique_ptr<Store> {
    auto kv = kv::Store::Open(dir.File("store"), {});
    EXPECT_OK(kv);
    return *Store::Open(*std::move(kv), clock_);
  };
  {
    auto store = open();
    ASSERT_OK_AND_ASSIGN(auto changes, DeviceChanges::Open(*store, *writer_));
    Transaction tx(*store);
    for (uint32_t i = 1; i <= 30; ++i)
      tx.Put(kDevices, Name(i).substr(8), Running(i, 'a'));
    ASSERT_OK(tx.Commit());
  }
  // 2 knew nothing of what tools a device has.
  for (const uint64_t version : {1, 2}) {
    SCOPED_TRACE(version);
    {
      // As the version before left it, and as a start that was cut short did.
      auto store = open();
      Transaction tx(*store);
      std::vector<std::string> keys;
      ASSERT_OK(store->ScanRaw(kRunning, "", "",
                               [&](std::string_view key, std::string_view) {
                                 keys.emplace_back(key);
                                 return true;
                               }));
      ASSERT_FALSE(keys.empty());
      for (const std::string& key : keys) tx.Delete(kRunning, key);
      tx.PutRaw(kRunning, "gateway", "left over");
      tx.PutRaw(kMeta, "device_index", SequenceKey(version));
      ASSERT_OK(tx.Commit());
    }
    auto store = open();
    ASSERT_OK_AND_ASSIGN(auto changes, DeviceChanges::Open(*store, *writer_));
    ASSERT_OK_AND_ASSIGN(auto images, RunningImages(*store, "gateway"));
    EXPECT_EQ(images[Hex('a')].devices, 30u);
  }
}

}  // namespace
}  // namespace shoal::server
