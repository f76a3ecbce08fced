// The devices of the fleet: what the plane assigned to them and what they last
// said of themselves.
#ifndef SHOAL_SERVER_FLEET_DEVICES_H_
#define SHOAL_SERVER_FLEET_DEVICES_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dht/records/record.h"
#include "rules/facts.h"
#include "server/publish/record_writer.h"
#include "server/publish/writers.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"
#include "shoal/fleet/v1/device_service.pb.h"

namespace shoal::server {

// Thread-safe.
class Devices {
 public:
  Devices(Store& store, const RecordWriter& writer, Writers& writers);

  // `name`: "devices/ID". "bad_name", "not_found".
  absl::StatusOr<fleet::v1::Device> Get(const std::string& name) const;
  struct Page {
    std::vector<fleet::v1::Device> devices;
    std::string next_page_token;
    int32_t total_size = 0;
  };
  // As ListDevices() of server/fleet/device_list.h.
  absl::StatusOr<Page> List(const fleet::v1::ListDevicesRequest& request) const;
  // Every device that is part of the fleet (accepted).
  absl::StatusOr<std::vector<store::DeviceRow>> Accepted(
      const std::string& device_type) const;

  absl::StatusOr<int> CountIn(fleet::v1::EnrolmentState state) const;

  // What update_mask names. "bad_update_mask", "bad_label", "stale_etag",
  // "not_accepted". A new assignment is signed and queued.
  absl::StatusOr<fleet::v1::Device> Update(
      const fleet::v1::UpdateDeviceRequest& request,
      const std::string& principal);
  // All devices or none. Also "bad_request", "bad_request_id",
  // "request_id_reused".
  absl::StatusOr<fleet::v1::BatchUpdateDeviceLabelsResponse> BatchUpdateLabels(
      const fleet::v1::BatchUpdateDeviceLabelsRequest& request,
      const std::string& principal);

  // All labels at once. "stale_etag" when given and not the
  // present one; "bad_label".
  absl::StatusOr<fleet::v1::Device> UpdateLabels(
      const std::string& name, const std::map<std::string, std::string>& labels,
      const std::string& etag, const std::string& principal);
  // Final. Its key is refused here at once, and by the rest of the fleet after
  // `on_decommissioned`; when only that fails, a repeated call tries it again.
  // "stale_etag" when `etag` is given and not the present one. With
  // `validate_only`: what would be.
  absl::StatusOr<fleet::v1::Device> Decommission(const std::string& name,
                                                 const std::string& reason,
                                                 const std::string& principal,
                                                 const std::string& etag = "",
                                                 bool validate_only = false);

  // Before the first Decommission().
  void OnDecommissioned(std::function<absl::Status()> on_decommissioned) {
    on_decommissioned_ = std::move(on_decommissioned);
  }

  // Stores a device that has paired; its assignment is queued with it
  // (server/fleet/device_changes.h).
  absl::Status Accept(Transaction& tx, store::DeviceRow row) const;

  // Takes over a verified DEVICE_REPORT; older ones change nothing.
  absl::Status OnReport(Transaction& tx, const dht::VerifiedRecord& record);

 private:
  Store& store_;
  const RecordWriter& writer_;
  Writers& writers_;
  std::function<absl::Status()> on_decommissioned_;
};

// "devices/ID" → ID (32 hex digits); "bad_name".
absl::StatusOr<std::string> DeviceKey(const std::string& name);
// As rollout selectors see a device: labels of the assignment.
rules::DeviceFacts FactsOf(const store::DeviceRow& row);
// Labels: at most 32, identifiers as keys, values up to 128 bytes.
absl::Status CheckLabels(const std::map<std::string, std::string>& labels);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_DEVICES_H_
