#include "server/fleet/device_import.h"

#include <map>
#include <set>
#include <utility>

#include "common/bytes.h"
#include "fmt/format.h"
#include "server/fleet/devices.h"
#include "server/fleet/groups.h"

namespace shoal::server {
namespace {

constexpr int32_t kMaxDevices = 200'000;
constexpr size_t kDevicesPerChange = 256;
constexpr int kMaxFailures = 100;

using Labels = std::map<std::string, std::string>;

absl::Status CheckGroups(const Transaction& tx,
                         const fleet::v1::DeviceImport& device) {
  if (device.groups_size() > static_cast<int>(kMaxGroupsOfDevice)) {
    return InvalidArgument(
        "bad_request",
        fmt::format("a device is in at most {} groups", kMaxGroupsOfDevice));
  }
  for (const std::string& name : device.groups()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string key, GroupKey(name));
    SHOAL_ASSIGN_OR_RETURN(const auto group,
                           tx.Get<store::GroupRow>(kGroups, key));
    if (group.group().deleting()) {
      return FailedPrecondition("deleting", name + " is being deleted");
    }
  }
  return absl::OkStatus();
}

// Dynamic groups of a line are what an export says; they are not set.
bool IsStatic(const Transaction& tx, const std::string& name) {
  const auto group =
      tx.Get<store::GroupRow>(kGroups, name.substr(name.find('/') + 1));
  return group.ok() && group->group().filter().empty();
}

}  // namespace

absl::Status DeviceImporter::Add(
    const fleet::v1::ImportDevicesRequest& request) {
  if (request.has_options()) {
    if (!first_) {
      return InvalidArgument("bad_request",
                             "options stand in the first message only");
    }
    options_ = request.options();
  }
  first_ = false;
  if (!request.has_device()) return absl::OkStatus();
  if (taken_ + static_cast<int32_t>(pending_.size()) >= kMaxDevices) {
    return InvalidArgument(
        "bad_request",
        fmt::format("an import takes at most {} devices", kMaxDevices));
  }
  pending_.push_back(request.device());
  return pending_.size() < kDevicesPerChange ? absl::OkStatus() : Flush();
}

absl::StatusOr<fleet::v1::ImportDevicesResponse> DeviceImporter::Finish() {
  SHOAL_RETURN_IF_ERROR(Flush());
  return response_;
}

absl::Status DeviceImporter::Flush() {
  if (pending_.empty()) return absl::OkStatus();
  Transaction tx(store_);
  tx.SetActor(principal_);
  int32_t changed = 0;
  for (const fleet::v1::DeviceImport& device : pending_) {
    ++taken_;
    const auto applied = Apply(tx, device);
    if (!applied.ok()) {
      response_.set_failed(response_.failed() + 1);
      if (response_.failures_size() == kMaxFailures) continue;
      auto& failure = *response_.add_failures();
      failure.set_position(taken_);
      failure.set_name(device.name().substr(0, 64));
      failure.set_reason(ReasonOf(applied.status()));
      failure.set_message(std::string(applied.status().message()));
    } else if (*applied) {
      ++changed;
      response_.set_changed(response_.changed() + 1);
    } else {
      response_.set_unchanged(response_.unchanged() + 1);
    }
  }
  pending_.clear();
  if (options_.validate_only() || changed == 0) return absl::OkStatus();
  tx.Audit(principal_, "device.label", "devices/-", "ok",
           fmt::format("import of {} devices", changed));
  return tx.Commit();
}

absl::StatusOr<bool> DeviceImporter::Apply(
    Transaction& tx, const fleet::v1::DeviceImport& device) {
  const Labels given(device.labels().begin(), device.labels().end());
  SHOAL_RETURN_IF_ERROR(CheckLabels(given));
  SHOAL_RETURN_IF_ERROR(CheckGroups(tx, device));
  if (device.name().empty()) {
    const auto key = HexDecode(device.public_key());
    if (!key.ok() || key->size() != 32 || !IsIdentifier(device.device_type())) {
      return InvalidArgument("bad_request",
                             "a device has a name, or a public_key of 64 hex "
                             "digits and a device_type");
    }
    if (!preauthorise_) {
      return FailedPrecondition(
          "preauthorisation_unavailable",
          "this plane takes devices in by tickets only: see shoal device "
          "ticket");
    }
    SHOAL_RETURN_IF_ERROR(preauthorise_(tx, device, principal_));
    return true;
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string key, DeviceKey(device.name()));
  SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::DeviceRow>(kDevices, key));
  if (!device.public_key().empty() &&
      device.public_key() != row.device().public_key()) {
    return FailedPrecondition("wrong_key",
                              device.name() + " has another public key");
  }
  if (!device.device_type().empty() &&
      device.device_type() != row.device().device_type()) {
    return FailedPrecondition("wrong_device_type",
                              device.name() + " is of another type");
  }
  const Labels had(row.device().labels().begin(), row.device().labels().end());
  Labels labels = options_.merge() ? had : Labels();
  for (const auto& [label, value] : given) labels[label] = value;
  SHOAL_RETURN_IF_ERROR(CheckLabels(labels));
  bool changed = labels != had;
  row.mutable_device()->mutable_labels()->clear();
  row.mutable_device()->mutable_labels()->insert(labels.begin(), labels.end());
  const std::set<std::string> wanted(device.groups().begin(),
                                     device.groups().end());
  if (!options_.merge()) {
    const auto groups = row.device().groups();
    for (const std::string& name : groups) {
      if (!wanted.contains(name) && IsStatic(tx, name)) {
        changed |= SetGroup(row, name, false);
      }
    }
  }
  for (const std::string& name : wanted) {
    if (IsStatic(tx, name)) changed |= SetGroup(row, name, true);
  }
  if (row.device().groups_size() > static_cast<int>(kMaxGroupsOfDevice)) {
    return FailedPrecondition("too_many_groups",
                              device.name() + " would be in too many groups");
  }
  if (!changed) return false;
  // An export has them too: a line that says what is so already is no mistake.
  if (row.device().state() == fleet::v1::ENROLMENT_STATE_DECOMMISSIONED ||
      row.device().state() == fleet::v1::ENROLMENT_STATE_REJECTED) {
    return FailedPrecondition("not_accepted",
                              device.name() + " is not in the fleet");
  }
  row.set_revision(row.revision() + 1);
  tx.Put(kDevices, key, row);
  return true;
}

}  // namespace shoal::server
