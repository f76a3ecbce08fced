#include "server/fleet/groups.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/bytes.h"
#include "fmt/format.h"
#include "server/fleet/device_index.h"
#include "server/fleet/device_list.h"
#include "server/rollout/rollout_state.h"
#include "server/store/paging.h"
#include "server/store/requests.h"

namespace shoal::server {
namespace {

constexpr std::string_view kPrefix = "groups/";
constexpr size_t kMaxDescription = 256;

absl::Status CheckGroup(const fleet::v1::Group& group, absl::Time now) {
  if (group.description().size() > kMaxDescription) {
    return InvalidArgument(
        "bad_request",
        fmt::format("description is longer than {} bytes", kMaxDescription));
  }
  SHOAL_ASSIGN_OR_RETURN(const FilterNode filter,
                         ParseFilter(group.filter(), now));
  return CheckGroupFilter(filter);
}

std::string Etag(const store::GroupRow& row) {
  return fmt::format("{}", row.revision());
}

absl::Status CheckEtag(const store::GroupRow& row, const std::string& etag) {
  if (etag.empty() || etag == Etag(row)) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kAborted, "stale_etag",
      row.group().name() + " was changed meanwhile: read it again");
}

absl::StatusOr<store::GroupRow> Row(const Transaction& tx,
                                    const std::string& name) {
  SHOAL_ASSIGN_OR_RETURN(const std::string key, GroupKey(name));
  SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::GroupRow>(kGroups, key));
  if (row.group().deleting()) {
    return FailedPrecondition("deleting", name + " is being deleted");
  }
  return row;
}

bool Names(const rollout::v1::RolloutDocument& document,
           const std::string& group) {
  const auto has = [&group](const auto& groups) {
    return std::find(groups.begin(), groups.end(), group) != groups.end();
  };
  return has(document.selector().groups()) ||
         std::any_of(document.phases().begin(), document.phases().end(),
                     [&](const auto& phase) { return has(phase.groups()); });
}

// `key`: the group's id.
absl::Status CheckUnused(const Store& store, const std::string& key) {
  std::string user;
  SHOAL_RETURN_IF_ERROR(store.Scan<store::RolloutRow>(
      kRollouts, "", "", [&](std::string_view, const store::RolloutRow& row) {
        if (!HasEnded(row.rollout().state()) &&
            Names(row.rollout().document(), key))
          user = row.rollout().name();
        return user.empty();
      }));
  if (user.empty()) return absl::OkStatus();
  return FailedPrecondition(
      "group_in_use", fmt::format("{} names groups/{}: who is in that rollout "
                                  "would change under it. Wait for its end, or "
                                  "abort it",
                                  user, key));
}

}  // namespace

absl::StatusOr<std::string> GroupKey(const std::string& name) {
  const std::string key =
      name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : "";
  if (!IsIdentifier(key, 63)) {
    return InvalidArgument("bad_name",
                           "a group's name is groups/ and an identifier of at "
                           "most 63 characters");
  }
  return key;
}

bool SetGroup(store::DeviceRow& row, const std::string& name, bool member) {
  auto& groups = *row.mutable_device()->mutable_groups();
  const auto at = std::find(groups.begin(), groups.end(), name);
  if ((at != groups.end()) == member) return false;
  if (member) {
    *groups.Add() = name;
    std::sort(groups.begin(), groups.end());
  } else {
    groups.erase(at);
  }
  return true;
}

Groups::Groups(Store& store, DeviceChanges& changes)
    : store_(store), changes_(changes) {}
Groups::~Groups() { Stop(); }

absl::StatusOr<fleet::v1::Group> Groups::View(
    const store::GroupRow& row) const {
  fleet::v1::Group group = row.group();
  group.set_etag(Etag(row));
  SHOAL_ASSIGN_OR_RETURN(
      const DeviceSet members,
      DeviceIndex(store_).Find(GroupTerm(group.name().substr(kPrefix.size()))));
  group.set_member_count(static_cast<int32_t>(members.Count()));
  return group;
}

absl::StatusOr<int32_t> Groups::CountOf(const std::string& filter) const {
  if (filter.empty()) return 0;
  SHOAL_ASSIGN_OR_RETURN(const FilterNode node,
                         ParseFilter(filter, store_.clock().WallNow()));
  SHOAL_ASSIGN_OR_RETURN(const DeviceSet set, DeviceIndex(store_).Select(node));
  return static_cast<int32_t>(set.Count());
}

absl::StatusOr<fleet::v1::Group> Groups::Create(
    const fleet::v1::CreateGroupRequest& request,
    const std::string& principal) {
  const std::string name = std::string(kPrefix) + request.group_id();
  SHOAL_ASSIGN_OR_RETURN(const std::string key, GroupKey(name));
  const absl::Time now = store_.clock().WallNow();
  SHOAL_RETURN_IF_ERROR(CheckGroup(request.group(), now));
  store::GroupRow row;
  row.set_revision(1);
  row.mutable_group()->set_name(name);
  row.mutable_group()->set_description(request.group().description());
  row.mutable_group()->set_filter(request.group().filter());
  row.mutable_group()->set_created_at(absl::ToUnixMillis(now));
  row.mutable_group()->set_reconciling(!request.group().filter().empty());
  fleet::v1::Group answer;
  {
    Transaction tx(store_);
    SHOAL_ASSIGN_OR_RETURN(const bool again,
                           FindRequest(tx, "CreateGroup", principal,
                                       request.request_id(), request, answer));
    if (again) return answer;
    if (tx.Has(kGroups, key)) {
      return MakeError(absl::StatusCode::kAlreadyExists, "already_exists",
                       name + " exists");
    }
    size_t count = 0;
    SHOAL_RETURN_IF_ERROR(store_.ScanRaw(
        kGroups, "", "", [&](std::string_view, std::string_view) {
          return ++count < kMaxGroups;
        }));
    if (count >= kMaxGroups) {
      return ResourceExhausted("too_many_groups",
                               fmt::format("the fleet has {} groups, all that "
                                           "it may have",
                                           kMaxGroups));
    }
    if (!request.validate_only()) {
      tx.Put(kGroups, key, row);
      answer = row.group();
      answer.set_etag(Etag(row));
      RememberRequest(tx, "CreateGroup", principal, request.request_id(),
                      request, answer);
      tx.Audit(principal, "device.label", name, "ok", row.group().filter());
      SHOAL_RETURN_IF_ERROR(DeviceChanges::GroupsChanged(tx));
      SHOAL_RETURN_IF_ERROR(tx.Commit());
      return answer;
    }
  }
  answer = row.group();
  SHOAL_ASSIGN_OR_RETURN(const int32_t members, CountOf(answer.filter()));
  answer.set_member_count(members);
  return answer;
}

absl::StatusOr<fleet::v1::Group> Groups::Get(const std::string& name) const {
  SHOAL_ASSIGN_OR_RETURN(const std::string key, GroupKey(name));
  SHOAL_ASSIGN_OR_RETURN(const auto row,
                         store_.Get<store::GroupRow>(kGroups, key));
  return View(row);
}

absl::StatusOr<fleet::v1::ListGroupsResponse> Groups::List(
    const fleet::v1::ListGroupsRequest& request) const {
  SHOAL_ASSIGN_OR_RETURN(const PageRequest page,
                         ParsePage(request.page_size(), request.page_token()));
  std::vector<store::GroupRow> rows;
  fleet::v1::ListGroupsResponse response;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::GroupRow>(
      kGroups, "", page.after, [&](std::string_view, const auto& row) {
        if (rows.size() == page.size) {
          response.set_next_page_token(
              PageToken(rows.back().group().name().substr(kPrefix.size())));
          return false;
        }
        rows.push_back(row);
        return true;
      }));
  for (const store::GroupRow& row : rows) {
    SHOAL_ASSIGN_OR_RETURN(*response.add_groups(), View(row));
  }
  return response;
}

absl::StatusOr<fleet::v1::Group> Groups::Update(
    const fleet::v1::UpdateGroupRequest& request,
    const std::string& principal) {
  bool description = false;
  bool filter = false;
  for (const std::string& path : request.update_mask().paths()) {
    description |= path == "description";
    filter |= path == "filter";
    if (path != "description" && path != "filter") {
      return InvalidArgument("bad_update_mask",
                             "update_mask may name description and filter");
    }
  }
  if (!description && !filter) {
    return InvalidArgument("bad_update_mask",
                           "update_mask names what is to change: description, "
                           "filter");
  }
  SHOAL_RETURN_IF_ERROR(CheckGroup(request.group(), store_.clock().WallNow()));
  store::GroupRow row;
  {
    Transaction tx(store_);
    SHOAL_ASSIGN_OR_RETURN(row, Row(tx, request.group().name()));
    SHOAL_RETURN_IF_ERROR(CheckEtag(row, request.group().etag()));
    if (filter &&
        row.group().filter().empty() != request.group().filter().empty()) {
      return FailedPrecondition("wrong_group_kind",
                                "a static group stays static, a dynamic one "
                                "dynamic: make another group");
    }
    if (description) {
      row.mutable_group()->set_description(request.group().description());
    }
    if (filter && row.group().filter() != request.group().filter()) {
      row.mutable_group()->set_filter(request.group().filter());
      row.mutable_group()->set_reconciling(true);
    }
    row.set_revision(row.revision() + 1);
    if (!request.validate_only()) {
      tx.Put(kGroups, *GroupKey(row.group().name()), row);
      tx.Audit(principal, "device.label", row.group().name(), "ok",
               row.group().filter());
      SHOAL_RETURN_IF_ERROR(DeviceChanges::GroupsChanged(tx));
      SHOAL_RETURN_IF_ERROR(tx.Commit());
    }
  }
  SHOAL_ASSIGN_OR_RETURN(fleet::v1::Group group, View(row));
  if (request.validate_only() && filter) {
    SHOAL_ASSIGN_OR_RETURN(const int32_t members, CountOf(group.filter()));
    group.set_member_count(members);
  }
  return group;
}

absl::StatusOr<fleet::v1::Group> Groups::Delete(
    const fleet::v1::DeleteGroupRequest& request,
    const std::string& principal) {
  store::GroupRow row;
  {
    Transaction tx(store_);
    SHOAL_ASSIGN_OR_RETURN(row, Row(tx, request.name()));
    SHOAL_RETURN_IF_ERROR(CheckEtag(row, request.etag()));
    // No rollout begins meanwhile: this transaction is the only one.
    SHOAL_RETURN_IF_ERROR(CheckUnused(store_, *GroupKey(request.name())));
    row.mutable_group()->set_deleting(true);
    row.mutable_group()->set_reconciling(true);
    row.set_revision(row.revision() + 1);
    if (!request.validate_only()) {
      tx.Put(kGroups, *GroupKey(request.name()), row);
      tx.Audit(principal, "device.label", request.name(), "ok", "deleted");
      SHOAL_RETURN_IF_ERROR(DeviceChanges::GroupsChanged(tx));
      SHOAL_RETURN_IF_ERROR(tx.Commit());
    }
  }
  return View(row);
}

}  // namespace shoal::server
