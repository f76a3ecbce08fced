// Devices, the part that changes labels.
#include <set>
#include <utility>

#include "common/bytes.h"
#include "fmt/format.h"
#include "server/fleet/device_list.h"
#include "server/fleet/devices.h"
#include "server/store/requests.h"

namespace shoal::server {
namespace {

using Labels = std::map<std::string, std::string>;

constexpr int kMaxPaths = 64;
constexpr int kMaxDevicesAtOnce = 1000;
constexpr int kMaxLabels = 32;
constexpr std::string_view kLabelPath = "labels.";

Labels LabelsOf(const fleet::v1::Device& device) {
  return {device.labels().begin(), device.labels().end()};
}

// What the mask makes of `labels`.
absl::StatusOr<Labels> Masked(Labels labels,
                              const fleet::v1::UpdateDeviceRequest& request) {
  const auto& paths = request.update_mask().paths();
  if (paths.empty() || paths.size() > kMaxPaths) {
    return InvalidArgument(
        "bad_update_mask",
        fmt::format("update_mask has 1 to {} paths", kMaxPaths));
  }
  const Labels given = LabelsOf(request.device());
  for (const std::string& path : paths) {
    if (path == "labels") {
      labels = given;
      continue;
    }
    if (!path.starts_with(kLabelPath) ||
        !IsIdentifier(path.substr(kLabelPath.size()))) {
      return InvalidArgument("bad_update_mask",
                             "update_mask may name labels and labels.KEY");
    }
    const std::string key = path.substr(kLabelPath.size());
    if (const auto it = given.find(key); it != given.end()) {
      labels[key] = it->second;
    } else {
      labels.erase(key);
    }
  }
  return labels;
}

absl::StatusOr<store::DeviceRow> Editable(const Transaction& tx,
                                          const std::string& name,
                                          const std::string& etag) {
  SHOAL_ASSIGN_OR_RETURN(const std::string key, DeviceKey(name));
  SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::DeviceRow>(kDevices, key));
  if (!etag.empty() && etag != DeviceView(row).etag()) {
    return MakeError(absl::StatusCode::kAborted, "stale_etag",
                     name + " was changed meanwhile: read it again");
  }
  if (row.device().state() != fleet::v1::ENROLMENT_STATE_ACCEPTED) {
    return FailedPrecondition("not_accepted", name + " is not in the fleet");
  }
  return row;
}

// False: the device has these labels already.
bool SetLabels(Transaction& tx, const Labels& labels, store::DeviceRow& row) {
  if (LabelsOf(row.device()) == labels) return false;
  row.mutable_device()->mutable_labels()->clear();
  row.mutable_device()->mutable_labels()->insert(labels.begin(), labels.end());
  row.set_revision(row.revision() + 1);
  tx.Put(kDevices, HexEncode(row.assignment().device_id()), row);
  return true;
}

}  // namespace

absl::StatusOr<fleet::v1::Device> Devices::Update(
    const fleet::v1::UpdateDeviceRequest& request,
    const std::string& principal) {
  const std::string& name = request.device().name();
  SHOAL_RETURN_IF_ERROR(CheckLabels(LabelsOf(request.device())));
  {
    Transaction tx(store_);
    SHOAL_ASSIGN_OR_RETURN(store::DeviceRow row,
                           Editable(tx, name, request.device().etag()));
    SHOAL_ASSIGN_OR_RETURN(const Labels labels,
                           Masked(LabelsOf(row.device()), request));
    SHOAL_RETURN_IF_ERROR(CheckLabels(labels));
    const bool changed = SetLabels(tx, labels, row);
    if (request.validate_only() || !changed) return DeviceView(row);
    tx.Audit(principal, "device.label", name, "ok");
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  return Get(name);
}

absl::StatusOr<fleet::v1::BatchUpdateDeviceLabelsResponse>
Devices::BatchUpdateLabels(
    const fleet::v1::BatchUpdateDeviceLabelsRequest& request,
    const std::string& principal) {
  if (request.names().empty() || request.names_size() > kMaxDevicesAtOnce) {
    return InvalidArgument(
        "bad_request", fmt::format("name 1 to {} devices", kMaxDevicesAtOnce));
  }
  const Labels set(request.labels().begin(), request.labels().end());
  SHOAL_RETURN_IF_ERROR(CheckLabels(set));
  if (request.remove_labels_size() > kMaxLabels ||
      (set.empty() && request.remove_labels().empty())) {
    return InvalidArgument(
        "bad_label",
        fmt::format("give labels to set or up to {} to remove", kMaxLabels));
  }
  for (const std::string& key : request.remove_labels()) {
    if (!IsIdentifier(key) || set.contains(key)) {
      return InvalidArgument("bad_label",
                             fmt::format("label '{}' is no identifier, or is "
                                         "to be set and removed at once",
                                         key));
    }
  }
  fleet::v1::BatchUpdateDeviceLabelsResponse response;
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(const bool again,
                         FindRequest(tx, "BatchUpdateDeviceLabels", principal,
                                     request.request_id(), request, response));
  if (again) return response;
  std::set<std::string> seen;
  for (const std::string& name : request.names()) {
    if (!seen.insert(name).second) {
      return InvalidArgument("bad_request", name + " stands twice");
    }
    SHOAL_ASSIGN_OR_RETURN(store::DeviceRow row, Editable(tx, name, ""));
    Labels labels = LabelsOf(row.device());
    for (const std::string& key : request.remove_labels()) labels.erase(key);
    for (const auto& [key, value] : set) labels[key] = value;
    SHOAL_RETURN_IF_ERROR(CheckLabels(labels));
    const bool changed = SetLabels(tx, labels, row);
    response.set_changed(response.changed() + (changed ? 1 : 0));
    response.set_unchanged(response.unchanged() + (changed ? 0 : 1));
  }
  if (request.validate_only()) return response;
  RememberRequest(tx, "BatchUpdateDeviceLabels", principal,
                  request.request_id(), request, response);
  tx.Audit(principal, "device.label", "devices/-", "ok",
           fmt::format("{} devices", response.changed()));
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  return response;
}

}  // namespace shoal::server
