#include "server/fleet/device_changes.h"

#include "server/fleet/device_history.h"
#include "server/fleet/device_import.h"
#include "tests/unit/server_fleet/fleet_fixture.h"

namespace shoal::server {
namespace {

using testing::FailsBecause;

class DeviceChangesTest : public FleetTest {
 protected:
  std::vector<fleet::v1::DeviceEvent> History(uint32_t number) {
    fleet::v1::ListDeviceEventsRequest request;
    request.set_parent(Name(number));
    request.set_page_size(7);  // several pages
    std::vector<fleet::v1::DeviceEvent> events;
    do {
      auto page = ListDeviceHistory(*store_, request);
      EXPECT_OK(page);
      if (!page.ok()) break;
      events.insert(events.end(), page->events().begin(), page->events().end());
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    return events;
  }
};

TEST_F(DeviceChangesTest, HistoryTellsWhatHappenedAndWhoDidIt) {
  AddDevice(1);
  clock_.Advance(absl::Hours(1));
  ASSERT_OK(
      devices_->UpdateLabels(Name(1), {{"site", "north"}}, "", "operator:ann"));
  store::DeviceRow row = RowOf(1);
  row.mutable_device()->set_running_sha256(std::string(64, 'a'));
  row.mutable_device()->set_running_version("1.0");
  PutRow(row);
  row = RowOf(1);
  row.mutable_device()->set_running_sha256(std::string(64, 'b'));
  row.mutable_device()->set_running_version("2.0");
  PutRow(row);
  ASSERT_OK(devices_->Decommission(Name(1), "stolen", "operator:bob"));
  const auto events = History(1);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[0].kind(), fleet::v1::DEVICE_EVENT_KIND_STATE);
  EXPECT_EQ(events[0].detail(), "accepted -> decommissioned");
  EXPECT_EQ(events[0].actor(), "operator:bob");
  EXPECT_EQ(events[1].detail(), "1.0 -> 2.0");
  EXPECT_EQ(events[1].actor(), "device");
  EXPECT_EQ(events[3].detail(), "+site=north");
  EXPECT_EQ(events[3].actor(), "operator:ann");
  EXPECT_EQ(events[3].time() - events[4].time(), 3'600'000);
  EXPECT_EQ(events[4].kind(), fleet::v1::DEVICE_EVENT_KIND_ADDED);
  EXPECT_EQ(events[4].name(), Name(1) + "/events/0");
}

TEST_F(DeviceChangesTest, HistoryIsBounded) {
  AddDevice(1);
  for (int i = 0; i < 150; ++i) {
    ASSERT_OK(devices_->UpdateLabels(
        Name(1), {{"n", std::to_string(i) + std::string(100, 'x')}}, "",
        "ann"));
  }
  const auto events = History(1);
  ASSERT_EQ(events.size(), kMaxDeviceEvents);
  EXPECT_EQ(events.front().name(), Name(1) + "/events/150");
  EXPECT_EQ(events.back().name(), Name(1) + "/events/51");
  fleet::v1::ListDeviceEventsRequest request;
  request.set_parent("devices/x");
  EXPECT_THAT(ListDeviceHistory(*store_, request), FailsBecause("bad_name"));
  request.set_parent(Name(9));
  EXPECT_THAT(ListDeviceHistory(*store_, request), FailsBecause("not_found"));
  request.set_parent(Name(1));
  request.set_page_token("abcd");
  EXPECT_THAT(ListDeviceHistory(*store_, request),
              FailsBecause("bad_page_token"));
}

TEST_F(DeviceChangesTest, WhatADeviceReportsIsBounded) {
  store::DeviceRow row = NewRow(1);
  for (int i = 0; i < 200; ++i) {
    (*row.mutable_device()->mutable_inventory())["k" + std::to_string(i)] =
        std::string(4000, 'v');
  }
  (*row.mutable_device()->mutable_inventory())["a b"] = "not an identifier";
  row.mutable_device()->set_running_version(std::string(9000, '1'));
  PutRow(row);
  const fleet::v1::Device device = RowOf(1).device();
  EXPECT_EQ(device.inventory_size(), 48);
  EXPECT_FALSE(device.inventory().contains("a b"));
  EXPECT_EQ(device.inventory().begin()->second.size(), 128u);
  EXPECT_EQ(device.running_version().size(), 128u);
}

TEST_F(DeviceChangesTest, AnAssignmentGoesOutOnlyWhenItSaysSomethingNew) {
  AddDevice(1);
  EXPECT_EQ(Outbox(records::v1::RECORD_KIND_ASSIGNMENT).size(), 1u);
  EXPECT_EQ(RowOf(1).assignment().version(), 1u);
  store::DeviceRow row = RowOf(1);
  (*row.mutable_device()->mutable_inventory())["os"] = "linux";
  PutRow(row);
  EXPECT_EQ(Outbox(records::v1::RECORD_KIND_ASSIGNMENT).size(), 1u);
  ASSERT_OK(devices_->UpdateLabels(Name(1), {{"a", "b"}}, "", "ann"));
  EXPECT_EQ(Outbox(records::v1::RECORD_KIND_ASSIGNMENT).size(), 2u);
  EXPECT_EQ(RowOf(1).assignment().version(), 2u);
  EXPECT_EQ(RowOf(1).assignment().labels().at("a"), "b");
  // Not in the fleet yet: nothing is said to it.
  row = NewRow(2);
  row.mutable_device()->set_state(fleet::v1::ENROLMENT_STATE_PENDING);
  PutRow(row);
  EXPECT_EQ(Outbox(records::v1::RECORD_KIND_ASSIGNMENT).size(), 2u);
  row = RowOf(2);
  row.mutable_device()->set_state(fleet::v1::ENROLMENT_STATE_ACCEPTED);
  PutRow(row);
  EXPECT_EQ(Outbox(records::v1::RECORD_KIND_ASSIGNMENT).size(), 3u);
}

class ImportTest : public DeviceChangesTest {
 protected:
  absl::StatusOr<fleet::v1::ImportDevicesResponse> Import(
      const std::vector<fleet::v1::DeviceImport>& devices, bool merge,
      bool validate_only = false) {
    DeviceImporter importer(*store_, "operator:ann", nullptr);
    fleet::v1::ImportDevicesRequest request;
    request.mutable_options()->set_merge(merge);
    request.mutable_options()->set_validate_only(validate_only);
    SHOAL_RETURN_IF_ERROR(importer.Add(request));
    for (const auto& device : devices) {
      request.Clear();
      *request.mutable_device() = device;
      SHOAL_RETURN_IF_ERROR(importer.Add(request));
    }
    return importer.Finish();
  }
};

// What an export says of them is so already.
TEST_F(ImportTest, LinesOfWhoLeftTheFleetAreNoMistakesUnlessTheyChangeIt) {
  AddDevice(1, {{"site", "north"}});
  AddDevice(2, {{"site", "north"}});
  store::DeviceRow row = RowOf(2);
  row.mutable_device()->set_state(fleet::v1::ENROLMENT_STATE_DECOMMISSIONED);
  PutRow(row);
  std::vector<fleet::v1::DeviceImport> lines(2);
  for (uint32_t i = 1; i <= 2; ++i) {
    lines[i - 1].set_name(Name(i));
    (*lines[i - 1].mutable_labels())["site"] = "north";
  }
  ASSERT_OK_AND_ASSIGN(auto done, Import(lines, false));
  EXPECT_EQ(done.unchanged(), 2);
  EXPECT_EQ(done.failed(), 0);
  (*lines[1].mutable_labels())["site"] = "south";
  ASSERT_OK_AND_ASSIGN(done, Import(lines, false));
  EXPECT_EQ(done.failed(), 1);
  EXPECT_EQ(done.failures(0).reason(), "not_accepted");
}

TEST_F(ImportTest, SetsLabelsAndGroupsAndNamesWhatItCouldNot) {
  AddDevice(1, {{"site", "north"}});
  AddDevice(2, {{"site", "north"}});
  fleet::v1::CreateGroupRequest group;
  group.set_group_id("lab");
  ASSERT_OK(groups_->Create(group, "ann"));
  fleet::v1::DeviceImport one;
  one.set_name(Name(1));
  (*one.mutable_labels())["ring"] = "a";
  one.add_groups("groups/lab");
  fleet::v1::DeviceImport unknown = one;
  unknown.set_name(Name(7));
  fleet::v1::DeviceImport no_group = one;
  no_group.set_name(Name(2));
  no_group.add_groups("groups/none");
  fleet::v1::DeviceImport key_only;
  key_only.set_public_key(std::string(64, 'a'));
  key_only.set_device_type("gateway");
  ASSERT_OK_AND_ASSIGN(auto dry, Import({one}, true, true));
  EXPECT_EQ(dry.changed(), 1);
  EXPECT_FALSE(RowOf(1).device().labels().contains("ring"));
  ASSERT_OK_AND_ASSIGN(auto done,
                       Import({one, one, unknown, no_group, key_only}, true));
  EXPECT_EQ(done.changed(), 1);
  EXPECT_EQ(done.unchanged(), 1);
  ASSERT_EQ(done.failures_size(), 3);
  EXPECT_EQ(done.failures(0).position(), 3);
  EXPECT_EQ(done.failures(0).reason(), "not_found");
  EXPECT_EQ(done.failures(2).reason(), "preauthorisation_unavailable");
  EXPECT_EQ(RowOf(1).device().labels().size(), 2u);
  EXPECT_EQ(RowOf(1).assignment().groups(0), "lab");
  // Without merge: exactly what is given.
  one.clear_groups();
  ASSERT_OK(Import({one}, false));
  EXPECT_EQ(RowOf(1).device().labels().size(), 1u);
  EXPECT_TRUE(RowOf(1).device().groups().empty());
}

}  // namespace
}  // namespace shoal::server
