// Takes labels and static groups of many devices from an export of this fleet
// or from somebody's spreadsheet.
#ifndef SHOAL_SERVER_FLEET_DEVICE_IMPORT_H_
#define SHOAL_SERVER_FLEET_DEVICE_IMPORT_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/store.h"
#include "shoal/fleet/v1/device_service.pb.h"

namespace shoal::server {

// What an import does with a device that has not paired yet, known by its
// public key: that key may enter without a ticket. Called inside the import's
// transaction.
using Preauthorise = std::function<absl::Status(
    Transaction& tx, const fleet::v1::DeviceImport& device,
    const std::string& principal)>;

// One import; one thread.
class DeviceImporter {
 public:
  // `preauthorise` may be empty: such devices are refused then
  // ("preauthorisation_unavailable").
  DeviceImporter(Store& store, std::string principal, Preauthorise preauthorise)
      : store_(store),
        principal_(std::move(principal)),
        preauthorise_(std::move(preauthorise)) {}

  // In order. "bad_request": options after the first message, more than
  // 200,000 devices. What is wrong with one device is in the answer.
  absl::Status Add(const fleet::v1::ImportDevicesRequest& request);
  absl::StatusOr<fleet::v1::ImportDevicesResponse> Finish();

 private:
  absl::Status Flush();
  absl::StatusOr<bool> Apply(Transaction& tx,
                             const fleet::v1::DeviceImport& device);
  Store& store_;
  const std::string principal_;
  const Preauthorise preauthorise_;
  fleet::v1::ImportOptions options_;
  std::vector<fleet::v1::DeviceImport> pending_;
  int32_t taken_ = 0;
  bool first_ = true;
  fleet::v1::ImportDevicesResponse response_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_DEVICE_IMPORT_H_
