// Groups, the part about who is in them.
#include <set>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "fmt/format.h"
#include "server/fleet/device_index.h"
#include "server/fleet/device_list.h"
#include "server/fleet/devices.h"
#include "server/fleet/groups.h"
#include "server/store/paging.h"
#include "server/store/requests.h"

namespace shoal::server {
namespace {

constexpr int kMaxMembersAtOnce = 1000;
constexpr size_t kDevicesPerChange = 256;
constexpr absl::Duration kPause = absl::Seconds(1);

// The same for Add and Remove: both requests have the same fields.
template <typename Request>
absl::StatusOr<fleet::v1::Group> ChangeMembers(
    Store& store, const Request& request, const std::string& method,
    bool member, const std::string& principal, int32_t& changed) {
  if (request.devices().empty() || request.devices_size() > kMaxMembersAtOnce) {
    return InvalidArgument(
        "bad_request", fmt::format("name 1 to {} devices", kMaxMembersAtOnce));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string key, GroupKey(request.name()));
  Transaction tx(store);
  fleet::v1::Group answer;
  SHOAL_ASSIGN_OR_RETURN(
      const bool again, FindRequest(tx, method, principal, request.request_id(),
                                    request, answer));
  if (again) return answer;
  SHOAL_ASSIGN_OR_RETURN(const auto group,
                         tx.Get<store::GroupRow>(kGroups, key));
  if (group.group().deleting()) {
    return FailedPrecondition("deleting", request.name() + " is being deleted");
  }
  if (!group.group().filter().empty()) {
    return FailedPrecondition(
        "dynamic_group",
        request.name() + " is dynamic: its filter says who is in it");
  }
  for (const std::string& name : request.devices()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string device, DeviceKey(name));
    SHOAL_ASSIGN_OR_RETURN(auto row,
                           tx.Get<store::DeviceRow>(kDevices, device));
    if (!SetGroup(row, request.name(), member)) continue;
    if (row.device().groups_size() > static_cast<int>(kMaxGroupsOfDevice)) {
      return FailedPrecondition(
          "too_many_groups",
          fmt::format("{} is in {} groups already", name, kMaxGroupsOfDevice));
    }
    ++changed;
    row.set_revision(row.revision() + 1);
    tx.Put(kDevices, device, row);
  }
  answer = group.group();
  answer.set_etag(fmt::format("{}", group.revision()));
  if (request.validate_only()) return answer;
  RememberRequest(tx, method, principal, request.request_id(), request, answer);
  tx.Audit(principal, "device.label", request.name(), "ok",
           fmt::format("{} {} devices", member ? "added" : "removed", changed));
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  return answer;
}

}  // namespace

absl::StatusOr<fleet::v1::Group> Groups::AddMembers(
    const fleet::v1::AddGroupMembersRequest& request,
    const std::string& principal) {
  int32_t changed = 0;
  SHOAL_ASSIGN_OR_RETURN(fleet::v1::Group group,
                         ChangeMembers(store_, request, "AddGroupMembers", true,
                                       principal, changed));
  SHOAL_ASSIGN_OR_RETURN(const fleet::v1::Group now, Get(request.name()));
  group.set_member_count(now.member_count() +
                         (request.validate_only() ? changed : 0));
  return group;
}

absl::StatusOr<fleet::v1::Group> Groups::RemoveMembers(
    const fleet::v1::RemoveGroupMembersRequest& request,
    const std::string& principal) {
  int32_t changed = 0;
  SHOAL_ASSIGN_OR_RETURN(fleet::v1::Group group,
                         ChangeMembers(store_, request, "RemoveGroupMembers",
                                       false, principal, changed));
  SHOAL_ASSIGN_OR_RETURN(const fleet::v1::Group now, Get(request.name()));
  group.set_member_count(now.member_count() -
                         (request.validate_only() ? changed : 0));
  return group;
}

absl::StatusOr<fleet::v1::ListGroupMembersResponse> Groups::Members(
    const fleet::v1::ListGroupMembersRequest& request) const {
  SHOAL_ASSIGN_OR_RETURN(const std::string key, GroupKey(request.parent()));
  SHOAL_ASSIGN_OR_RETURN(const PageRequest page,
                         ParsePage(request.page_size(), ""));
  SHOAL_ASSIGN_OR_RETURN(
      const std::string after,
      ParseListToken(request.parent(), request.page_token()));
  const DeviceIndex index(store_);
  SHOAL_RETURN_IF_ERROR(index.view().Get<store::GroupRow>(kGroups, key));
  SHOAL_ASSIGN_OR_RETURN(const DeviceSet set, index.Find(GroupTerm(key)));
  SHOAL_ASSIGN_OR_RETURN(
      auto entries,
      index.List(set, DeviceIndex::Order::kByName, after, page.size + 1));
  fleet::v1::ListGroupMembersResponse response;
  response.set_total_size(static_cast<int32_t>(set.Count()));
  if (entries.size() > page.size) {
    entries.pop_back();
    response.set_next_page_token(
        ListToken(request.parent(), entries.back().id));
  }
  for (const auto& entry : entries) {
    response.add_devices("devices/" + HexEncode(entry.id));
  }
  return response;
}

absl::StatusOr<std::vector<std::string>> Groups::GroupMembers(
    const std::string& name) const {
  SHOAL_ASSIGN_OR_RETURN(const std::string key, GroupKey(name));
  const DeviceIndex index(store_);
  SHOAL_RETURN_IF_ERROR(index.view().Get<store::GroupRow>(kGroups, key));
  SHOAL_ASSIGN_OR_RETURN(const DeviceSet set, index.Find(GroupTerm(key)));
  SHOAL_ASSIGN_OR_RETURN(
      const auto entries,
      index.List(set, DeviceIndex::Order::kByName, "", set.Count()));
  std::vector<std::string> ids;
  ids.reserve(entries.size());
  for (const auto& entry : entries) ids.push_back(entry.id);
  return ids;
}

void Groups::Start() {
  thread_ = std::thread([this] {
    while (!stop_ && !store_.shut_down()) {
      const uint64_t revision = store_.revision();
      const auto worked = Reconcile();
      if (!worked.ok()) {
        LogError("group_reconcile_failed", {{"error", worked.status()}});
      }
      if (!worked.ok() || !*worked) store_.WaitForChange(revision, kPause);
    }
  });
}

void Groups::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<bool> Groups::Reconcile() {
  std::vector<store::GroupRow> due;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::GroupRow>(
      kGroups, "", "", [&](std::string_view, const store::GroupRow& row) {
        if (row.group().reconciling()) due.push_back(row);
        return true;
      }));
  for (const store::GroupRow& row : due) {
    SHOAL_RETURN_IF_ERROR(ReconcileOne(row));
  }
  return !due.empty();
}

absl::Status Groups::ReconcileOne(const store::GroupRow& row) {
  SHOAL_ASSIGN_OR_RETURN(const std::string key, GroupKey(row.group().name()));
  SHOAL_ASSIGN_OR_RETURN(
      const FilterNode filter,
      ParseFilter(row.group().filter(), store_.clock().WallNow()));
  std::vector<std::string> ids;
  {
    const DeviceIndex index(store_);
    SHOAL_ASSIGN_OR_RETURN(DeviceSet differ, index.Find(GroupTerm(key)));
    if (!row.group().deleting()) {
      SHOAL_ASSIGN_OR_RETURN(const DeviceSet wanted, index.Select(filter));
      differ ^= wanted;
    }
    SHOAL_ASSIGN_OR_RETURN(
        const auto entries,
        index.List(differ, DeviceIndex::Order::kByName, "", differ.Count()));
    for (const auto& entry : entries) ids.push_back(entry.id);
  }
  for (size_t from = 0; from < ids.size(); from += kDevicesPerChange) {
    if (stop_) return absl::OkStatus();
    const size_t end = std::min(from + kDevicesPerChange, ids.size());
    SHOAL_RETURN_IF_ERROR(ApplyTo(row, filter,
                                  {ids.begin() + static_cast<ptrdiff_t>(from),
                                   ids.begin() + static_cast<ptrdiff_t>(end)}));
  }
  return Finish(row);
}

absl::Status Groups::ApplyTo(const store::GroupRow& row,
                             const FilterNode& filter,
                             const std::vector<std::string>& ids) {
  Transaction tx(store_);
  tx.SetActor("plane");
  SHOAL_ASSIGN_OR_RETURN(const std::string key, GroupKey(row.group().name()));
  const auto now = tx.Get<store::GroupRow>(kGroups, key);
  // Changed meanwhile: the next pass does it by what holds then.
  if (!now.ok() || now->revision() != row.revision()) return absl::OkStatus();
  for (const std::string& id : ids) {
    auto device = tx.Get<store::DeviceRow>(kDevices, HexEncode(id));
    if (absl::IsNotFound(device.status())) continue;
    SHOAL_RETURN_IF_ERROR(device);
    const bool member =
        !row.group().deleting() && Matches(filter, FilterSubject(*device));
    if (!SetGroup(*device, row.group().name(), member)) continue;
    device->set_revision(device->revision() + 1);
    tx.Put(kDevices, HexEncode(id), *device);
  }
  return tx.Commit();
}

absl::Status Groups::Finish(const store::GroupRow& row) {
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(const std::string key, GroupKey(row.group().name()));
  auto now = tx.Get<store::GroupRow>(kGroups, key);
  if (!now.ok() || now->revision() != row.revision()) return absl::OkStatus();
  if (now->group().deleting()) {
    tx.Delete(kGroups, key);
  } else {
    now->mutable_group()->set_reconciling(false);
    tx.Put(kGroups, key, *now);
  }
  SHOAL_RETURN_IF_ERROR(DeviceChanges::GroupsChanged(tx));
  return tx.Commit();
}

}  // namespace shoal::server
