// A store that an earlier shoald wrote, without an index of devices.
#include "server/fleet/device_changes.h"
#include "server/fleet/device_list.h"
#include "tests/unit/server_fleet/fleet_fixture.h"

namespace shoal::server {
namespace {

class MigrationTest : public FleetTest {};

TEST_F(MigrationTest, DevicesOfAnEarlierSchemaGetTheirIndexOnce) {
  testing::TempDir dir;
  const auto open = [&] {
    auto kv = kv::Store::Open(dir.File("store"), {});
    EXPECT_OK(kv);
    auto store = Store::Open(*std::move(kv), clock_);
    EXPECT_OK(store);
    return *std::move(store);
  };
  {
    auto kv = kv::Store::Open(dir.File("store"), {});
    ASSERT_OK(kv);
    kv::WriteBatch batch;
    batch.Put(kv::kDefaultFamily, std::string("meta\0schema", 11),
              SequenceKey(1));
    for (uint32_t i = 1; i <= 1200; ++i) {
      store::DeviceRow row = NewRow(i);
      (*row.mutable_device()->mutable_labels())["site"] = "north";
      (*row.mutable_assignment()->mutable_labels())["site"] = "north";
      batch.Put(kv::kDefaultFamily,
                std::string("device\0", 7) + Name(i).substr(8),
                row.SerializeAsString());
    }
    ASSERT_OK((*kv)->Write(batch, true));
  }
  std::string change;
  {
    auto store = open();
    ASSERT_OK_AND_ASSIGN(auto changes, DeviceChanges::Open(*store, *writer_));
    fleet::v1::ListDevicesRequest request;
    request.set_filter("labels.site = north");
    EXPECT_EQ(ListDevices(*store, request)->total_size(), 1200);
    // They have their assignments: nothing new to say.
    EXPECT_EQ(*store->LastSequence(kOutbox), 0u);
    ASSERT_OK_AND_ASSIGN(
        auto row, store->Get<store::DeviceRow>(kDevices, Name(7).substr(8)));
    EXPECT_EQ(row.assignment().version(), 1u);
    change = std::to_string(row.change());
  }
  auto store = open();
  ASSERT_OK_AND_ASSIGN(auto changes, DeviceChanges::Open(*store, *writer_));
  ASSERT_OK_AND_ASSIGN(
      auto row, store->Get<store::DeviceRow>(kDevices, Name(7).substr(8)));
  EXPECT_EQ(std::to_string(row.change()), change);  // not again
  ASSERT_OK_AND_ASSIGN(auto schema, store->View()->GetRaw(kMeta, "schema"));
  EXPECT_EQ(schema, SequenceKey(kSchemaVersion));
}

}  // namespace
}  // namespace shoal::server
