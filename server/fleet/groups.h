// Groups of devices. Who is in a group stands in the rows of the devices and
// in the index; a group's own row holds what it is. Dynamic groups are kept up
// by server/fleet/device_changes.h as devices change; when a group itself
// changes or goes, a worker here brings its members after, a few hundred a
// transaction, and goes on where it was after a restart.
#ifndef SHOAL_SERVER_FLEET_GROUPS_H_
#define SHOAL_SERVER_FLEET_GROUPS_H_

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/fleet/device_changes.h"
#include "server/store/store.h"
#include "shoal/fleet/v1/group_service.pb.h"

namespace shoal::server {

inline constexpr size_t kMaxGroups = 1000;

// Thread-safe.
class Groups {
 public:
  Groups(Store& store, DeviceChanges& changes);
  ~Groups();
  void Start();  // the worker
  void Stop();

  // "bad_name", "bad_request", "bad_filter", "already_exists",
  // "too_many_groups", "bad_request_id", "request_id_reused".
  absl::StatusOr<fleet::v1::Group> Create(
      const fleet::v1::CreateGroupRequest& request,
      const std::string& principal);
  // "bad_name", "not_found".
  absl::StatusOr<fleet::v1::Group> Get(const std::string& name) const;
  absl::StatusOr<fleet::v1::ListGroupsResponse> List(
      const fleet::v1::ListGroupsRequest& request) const;
  // Also "bad_update_mask", "stale_etag", "wrong_group_kind".
  absl::StatusOr<fleet::v1::Group> Update(
      const fleet::v1::UpdateGroupRequest& request,
      const std::string& principal);
  // "group_in_use" while a rollout that has not ended names it.
  absl::StatusOr<fleet::v1::Group> Delete(
      const fleet::v1::DeleteGroupRequest& request,
      const std::string& principal);

  absl::StatusOr<fleet::v1::ListGroupMembersResponse> Members(
      const fleet::v1::ListGroupMembersRequest& request) const;
  // Ids (16 bytes) of all devices in the group "groups/ID", in order.
  absl::StatusOr<std::vector<std::string>> GroupMembers(
      const std::string& name) const;
  // Also "dynamic_group", "too_many_groups" (of one device), "bad_request".
  absl::StatusOr<fleet::v1::Group> AddMembers(
      const fleet::v1::AddGroupMembersRequest& request,
      const std::string& principal);
  absl::StatusOr<fleet::v1::Group> RemoveMembers(
      const fleet::v1::RemoveGroupMembersRequest& request,
      const std::string& principal);

  // One pass over the groups whose members have to be brought after; true when
  // there was one.
  absl::StatusOr<bool> Reconcile();

 private:
  absl::StatusOr<fleet::v1::Group> View(const store::GroupRow& row) const;
  absl::StatusOr<int32_t> CountOf(const std::string& filter) const;
  absl::Status ReconcileOne(const store::GroupRow& row);
  absl::Status ApplyTo(const store::GroupRow& row, const FilterNode& filter,
                       const std::vector<std::string>& ids);
  absl::Status Finish(const store::GroupRow& row);

  Store& store_;
  DeviceChanges& changes_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// "groups/ID" → ID; "bad_name".
absl::StatusOr<std::string> GroupKey(const std::string& name);
// Puts the device into the group or takes it out; true: it was not so before.
bool SetGroup(store::DeviceRow& row, const std::string& name, bool member);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_GROUPS_H_
