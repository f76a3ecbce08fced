#include <gmock/gmock.h>

#include "common/status.h"
#include "fmt/format.h"
#include "tests/fault/plane/owners.h"

namespace shoal::testing {
namespace {

constexpr uint32_t kGroups = 6;
constexpr uint32_t kDevices = 12;

}  // namespace

absl::Status GroupOwner::Work(cli::PlaneClient& plane) {
  const std::string group = fmt::format("g{}", Below(kGroups));
  const Members now = groups_[group];
  Members then;
  if (!now) {
    then.emplace();
  } else if (Below(5) != 0) {
    then = now;
    // Three devices at once: in, or out when one of them is in.
    const uint32_t from = Below(kDevices - 2);
    const bool leave = then->contains(DeviceName(first_ + from));
    for (uint32_t i = from; i < from + 3; ++i) {
      if (leave)
        then->erase(DeviceName(first_ + i));
      else
        then->insert(DeviceName(first_ + i));
    }
  }
  open_ = {group, then};
  const absl::Status changed = Change(plane, group, now, then);
  if (absl::IsAlreadyExists(changed)) {
    // A deleted group keeps its name until the devices have left it, in the
    // background.
    open_.reset();
    fleet::v1::GetGroupRequest get;
    get.set_name("groups/" + group);
    const auto found = plane.GetGroup(get);
    return absl::IsNotFound(found.status()) || (found.ok() && found->deleting())
               ? absl::OkStatus()
           : found.ok() ? changed
                        : found.status();
  }
  SHOAL_RETURN_IF_ERROR(changed);
  groups_[group] = then;
  open_.reset();
  Acknowledged();
  return absl::OkStatus();
}

absl::Status GroupOwner::Change(cli::PlaneClient& plane,
                                const std::string& group, const Members& now,
                                const Members& then) {
  const std::string name = "groups/" + group;
  if (!now) {
    fleet::v1::CreateGroupRequest request;
    request.set_group_id(group);
    return plane.CreateGroup(request).status();
  }
  if (!then) {
    fleet::v1::DeleteGroupRequest request;
    request.set_name(name);
    return plane.DeleteGroup(request).status();
  }
  if (then->size() < now->size()) {
    fleet::v1::RemoveGroupMembersRequest request;
    request.set_name(name);
    for (const std::string& device : *now)
      if (!then->contains(device)) request.add_devices(device);
    return plane.RemoveGroupMembers(request).status();
  }
  fleet::v1::AddGroupMembersRequest request;
  request.set_name(name);
  for (const std::string& device : *then)
    if (!now->contains(device)) request.add_devices(device);
  if (request.devices().empty()) return absl::OkStatus();
  return plane.AddGroupMembers(request).status();
}

void GroupOwner::Check(cli::PlaneClient& plane) {
  for (auto& [group, known] : groups_) {
    fleet::v1::GetGroupRequest look;
    look.set_name("groups/" + group);
    const auto found = plane.GetGroup(look);
    ASSERT_TRUE(found.ok() || absl::IsNotFound(found.status()))
        << found.status();
    Members seen;
    if (found.ok() && !found->deleting()) {
      fleet::v1::ListGroupMembersRequest list;
      list.set_parent(look.name());
      list.set_page_size(1000);
      const auto members = plane.ListGroupMembers(list);
      ASSERT_TRUE(members.ok()) << members.status();
      seen.emplace(members->devices().begin(), members->devices().end());
    }
    if (open_ && open_->first == group && seen == open_->second)
      known = open_->second;
    EXPECT_EQ(seen.has_value(), known.has_value()) << group;
    if (!seen || !known) continue;
    EXPECT_THAT(*seen, ::testing::ContainerEq(*known))
        << group << ": neither before nor after the change";
    // The same, from the devices' side.
    for (const std::string& name : *seen) {
      fleet::v1::GetDeviceRequest get;
      get.set_name(name);
      const auto device = plane.GetDevice(get);
      ASSERT_TRUE(device.ok()) << device.status();
      EXPECT_THAT(device->groups(), ::testing::Contains("groups/" + group));
    }
  }
  open_.reset();
}

}  // namespace shoal::testing
