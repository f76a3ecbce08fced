#include "server/fleet/groups.h"

#include <algorithm>
#include <random>
#include <thread>

#include "tests/unit/server_fleet/fleet_fixture.h"

namespace shoal::server {
namespace {

using testing::Fails;
using testing::FailsBecause;

class GroupsTest : public FleetTest {
 protected:
  absl::StatusOr<fleet::v1::Group> Make(const std::string& id,
                                        const std::string& filter) {
    fleet::v1::CreateGroupRequest request;
    request.set_group_id(id);
    request.mutable_group()->set_filter(filter);
    auto group = groups_->Create(request, "operator:ann");
    while (group.ok() && *groups_->Reconcile()) {
    }
    return group;
  }
  std::vector<std::string> MembersOf(const std::string& id) {
    fleet::v1::ListGroupMembersRequest request;
    request.set_parent("groups/" + id);
    request.set_page_size(1000);
    auto members = groups_->Members(request);
    EXPECT_OK(members);
    if (!members.ok()) return {};
    EXPECT_EQ(members->total_size(), members->devices_size());
    return {members->devices().begin(), members->devices().end()};
  }
  absl::Status Change(const std::string& id,
                      const std::vector<uint32_t>& devices, bool add) {
    fleet::v1::AddGroupMembersRequest request;
    request.set_name("groups/" + id);
    for (const uint32_t n : devices) request.add_devices(Name(n));
    if (add) return groups_->AddMembers(request, "operator:ann").status();
    fleet::v1::RemoveGroupMembersRequest remove;
    remove.ParseFromString(request.SerializeAsString());
    return groups_->RemoveMembers(remove, "operator:ann").status();
  }
};

TEST_F(GroupsTest, AStaticGroupHoldsWhoWasPutIn) {
  for (uint32_t i = 1; i <= 3; ++i) AddDevice(i);
  ASSERT_OK(Make("lab", ""));
  ASSERT_OK(Change("lab", {1, 3}, true));
  ASSERT_OK(Change("lab", {3}, true));
  EXPECT_EQ(MembersOf("lab"), (std::vector<std::string>{Name(1), Name(3)}));
  EXPECT_EQ(groups_->Get("groups/lab")->member_count(), 2);
  EXPECT_EQ(Found("group = lab"), MembersOf("lab"));
  ASSERT_OK_AND_ASSIGN(auto ids, groups_->GroupMembers("groups/lab"));
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_EQ("devices/" + HexEncode(ids[1]), Name(3));
  // In the signed assignment, with a new version.
  const store::DeviceRow row = RowOf(3);
  ASSERT_EQ(row.assignment().groups_size(), 1);
  EXPECT_EQ(row.assignment().groups(0), "lab");
  EXPECT_EQ(row.assignment().version(), 2u);
  records::v1::Assignment published;
  for (const auto& body : Outbox(records::v1::RECORD_KIND_ASSIGNMENT)) {
    records::v1::Assignment assignment;
    ASSERT_TRUE(assignment.ParseFromString(body.payload()));
    if (assignment.device_id() == row.assignment().device_id()) {
      published = assignment;
    }
  }
  EXPECT_EQ(published.groups_size(), 1);
  ASSERT_OK(Change("lab", {1}, false));
  EXPECT_EQ(MembersOf("lab"), std::vector<std::string>{Name(3)});
  EXPECT_TRUE(RowOf(1).assignment().groups().empty());
}

TEST_F(GroupsTest, ADynamicGroupFollowsItsDevices) {
  AddDevice(1, {{"site", "north"}});
  AddDevice(2, {{"site", "south"}});
  ASSERT_OK(Make("north", "labels.site = north"));
  EXPECT_EQ(MembersOf("north"), std::vector<std::string>{Name(1)});
  AddDevice(3, {{"site", "north"}});
  EXPECT_EQ(MembersOf("north"), (std::vector<std::string>{Name(1), Name(3)}));
  ASSERT_OK(devices_->UpdateLabels(Name(1), {{"site", "south"}}, "", "ann"));
  EXPECT_EQ(MembersOf("north"), std::vector<std::string>{Name(3)});
  EXPECT_TRUE(RowOf(1).assignment().groups().empty());
  EXPECT_EQ(RowOf(3).assignment().groups(0), "north");
  EXPECT_THAT(Change("north", {1}, true), FailsBecause("dynamic_group"));
  // Another filter.
  fleet::v1::UpdateGroupRequest update;
  update.mutable_group()->set_name("groups/north");
  update.mutable_group()->set_filter("NOT labels.site = north");
  update.mutable_update_mask()->add_paths("filter");
  ASSERT_OK(groups_->Update(update, "operator:ann"));
  EXPECT_TRUE(groups_->Get("groups/north")->reconciling());
  while (*groups_->Reconcile()) {
  }
  EXPECT_EQ(MembersOf("north"), (std::vector<std::string>{Name(1), Name(2)}));
  // Gone.
  fleet::v1::DeleteGroupRequest gone;
  gone.set_name("groups/north");
  ASSERT_OK(groups_->Delete(gone, "operator:ann"));
  EXPECT_THAT(Make("north", ""), FailsBecause("already_exists"));
  while (*groups_->Reconcile()) {
  }
  EXPECT_THAT(groups_->Get("groups/north"),
              Fails(absl::StatusCode::kNotFound, "not_found"));
  EXPECT_TRUE(RowOf(1).device().groups().empty());
  ASSERT_OK(Make("north", ""));
  EXPECT_TRUE(MembersOf("north").empty());
}

// Whatever changes, and in which order, membership is what the filter says.
TEST_F(GroupsTest, MembershipEqualsTheFilterThroughRandomChanges) {
  std::mt19937 random(5);
  const std::vector<std::pair<std::string, std::string>> filters = {
      {"a", "labels.site = s1"},
      {"b", "NOT labels.site = s1"},
      {"c", "labels.site:s* AND inventory.mem > 3"},
      {"d", "labels:ring OR running_version < 1.5"},
      {"e", "state = accepted AND NOT labels:ring"},
      {"f", "labels.site != s2"},
      {"g", "name:*1"}};
  const auto check = [&] {
    for (const auto& [id, filter] : filters) {
      if (!groups_->Get("groups/" + id).ok()) continue;
      ASSERT_EQ(MembersOf(id), Found(filter)) << filter;
    }
  };
  for (size_t step = 0; step < 400; ++step) {
    const uint32_t number = 1 + random() % 40;
    store::DeviceRow row = NewRow(number);
    auto existing =
        store_->Get<store::DeviceRow>(kDevices, Name(number).substr(8));
    if (existing.ok()) row = *existing;
    auto& device = *row.mutable_device();
    switch (random() % 5) {
      case 0:
        (*device.mutable_labels())["site"] = "s" + std::to_string(random() % 3);
        break;
      case 1:
        device.mutable_labels()->erase(random() % 2 ? "site" : "ring");
        break;
      case 2:
        (*device.mutable_labels())["ring"] = "x";
        break;
      case 3:
        (*device.mutable_inventory())["mem"] = std::to_string(random() % 8);
        break;
      default:
        device.set_running_version("1." + std::to_string(random() % 10));
    }
    PutRow(row);
    if (step % 40 == 20 && step / 40 < filters.size()) {
      ASSERT_OK(Make(filters[step / 40].first, filters[step / 40].second));
    }
    if (step % 25 == 0) check();
  }
  check();
}

TEST_F(GroupsTest, AChangeConcernsOnlyGroupsThatAskForIt) {
  GroupMatcher matcher;
  matcher.Add("north", *ParseFilter("labels.site = north", clock_.WallNow()));
  matcher.Add("south", *ParseFilter("labels.site = south", clock_.WallNow()));
  matcher.Add("big", *ParseFilter("inventory.mem > 5", clock_.WallNow()));
  const DeviceTerm north{std::string("labels\0site\0", 12), "north"};
  const DeviceTerm mem{std::string("inventory\0mem\0", 14), "9"};
  const DeviceTerm other{std::string("inventory\0kernel\0", 17), "6"};
  EXPECT_EQ(matcher.Concerned({north}), std::vector<std::string>{"north"});
  EXPECT_EQ(matcher.Concerned({mem, other}), std::vector<std::string>{"big"});
  EXPECT_TRUE(matcher.Concerned({other}).empty());
}

TEST_F(GroupsTest, TheWorkerGoesOnAfterARestart) {
  for (uint32_t i = 1; i <= 600; ++i) AddDevice(i, {{"site", "north"}});
  fleet::v1::CreateGroupRequest request;
  request.set_group_id("north");
  request.mutable_group()->set_filter("labels.site = north");
  ASSERT_OK(groups_->Create(request, "operator:ann"));
  // Another Groups over the same store, as after a crash, with its thread.
  Groups again(*store_, *changes_);
  again.Start();
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (again.Get("groups/north")->reconciling() && absl::Now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(again.Get("groups/north")->member_count(), 600);
  store_->Shutdown();
  again.Stop();
}

TEST_F(GroupsTest, RequestsBeyondTheirLimitsAreRefused) {
  AddDevice(1);
  for (const char* id : {"", "a/b", ".a", "a b"}) {
    EXPECT_THAT(Make(id, ""), FailsBecause("bad_name")) << id;
  }
  EXPECT_THAT(Make(std::string(64, 'a'), ""), FailsBecause("bad_name"));
  EXPECT_OK(Make(std::string(63, 'a'), ""));
  EXPECT_THAT(Make("b", "colour = red"), FailsBecause("bad_filter"));
  EXPECT_THAT(Make("b", "last_seen > -1h"), FailsBecause("bad_filter"));
  EXPECT_THAT(Make("b", "group = a"), FailsBecause("bad_filter"));
  fleet::v1::CreateGroupRequest request;
  request.set_group_id("c");
  request.mutable_group()->set_description(std::string(257, 'x'));
  EXPECT_THAT(groups_->Create(request, "ann"), FailsBecause("bad_request"));
  request.mutable_group()->set_description(std::string(256, 'x'));
  request.set_request_id(std::string(129, 'i'));
  EXPECT_THAT(groups_->Create(request, "ann"), FailsBecause("bad_request_id"));
  request.set_request_id("one");
  request.set_validate_only(true);
  EXPECT_OK(groups_->Create(request, "ann"));
  EXPECT_THAT(groups_->Get("groups/c"), FailsBecause("not_found"));
  request.set_validate_only(false);
  EXPECT_OK(groups_->Create(request, "ann"));
  EXPECT_OK(groups_->Create(request, "ann"));  // the first answer again
  request.clear_request_id();
  EXPECT_THAT(groups_->Create(request, "ann"), FailsBecause("already_exists"));
  EXPECT_THAT(Change("c", {}, true), FailsBecause("bad_request"));
  EXPECT_THAT(Change("c", std::vector<uint32_t>(1001, 1), true),
              FailsBecause("bad_request"));
  EXPECT_THAT(Change("c", {1, 99}, true), FailsBecause("not_found"));
  EXPECT_TRUE(MembersOf("c").empty());  // all or none
  EXPECT_THAT(Change("none", {1}, true), FailsBecause("not_found"));
  fleet::v1::UpdateGroupRequest update;
  update.mutable_group()->set_name("groups/c");
  EXPECT_THAT(groups_->Update(update, "ann"), FailsBecause("bad_update_mask"));
  update.mutable_update_mask()->add_paths("name");
  EXPECT_THAT(groups_->Update(update, "ann"), FailsBecause("bad_update_mask"));
  update.mutable_update_mask()->set_paths(0, "filter");
  update.mutable_group()->set_filter("state:*");
  EXPECT_THAT(groups_->Update(update, "ann"), FailsBecause("wrong_group_kind"));
  update.mutable_update_mask()->set_paths(0, "description");
  update.mutable_group()->set_etag("99");
  EXPECT_THAT(groups_->Update(update, "ann"),
              Fails(absl::StatusCode::kAborted, "stale_etag"));
  // A device in as many groups as it may be in.
  for (int i = 0; i < 64; ++i) {
    ASSERT_OK(Make("g" + std::to_string(i), ""));
    ASSERT_OK(Change("g" + std::to_string(i), {1}, true));
  }
  EXPECT_THAT(Change("c", {1}, true), FailsBecause("too_many_groups"));
}

TEST_F(GroupsTest, AFleetHasAtMostAThousand) {
  {
    Transaction tx(*store_);
    for (size_t i = 0; i < kMaxGroups; ++i) {
      store::GroupRow row;
      row.mutable_group()->set_name("groups/x" + std::to_string(i));
      tx.Put(kGroups, "x" + std::to_string(i), row);
    }
    ASSERT_OK(tx.Commit());
  }
  EXPECT_THAT(Make("one-more", ""), FailsBecause("too_many_groups"));
}

}  // namespace
}  // namespace shoal::server
