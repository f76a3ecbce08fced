// How many accepted devices run which image and what they can do with deltas:
// counted in the change that writes a device, so that nobody has to read the
// devices to know which deltas are wanted.
//
//   running   TYPE \0 SHA256-HEX \0 FORMATS (1 byte) MEMORY (2 bytes) TOOLS
//             → count (8)
//
// TOOLS: nothing when the device told none, else the model's version (4 bytes)
// and each codec with a \0 behind it.
#ifndef SHOAL_SERVER_FLEET_RUNNING_IMAGES_H_
#define SHOAL_SERVER_FLEET_RUNNING_IMAGES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rules/delta_abilities.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"

namespace shoal::server {

// Puts the difference between `old` (null: a new device) and `next` (null: it
// is deleted) into `tx`.
absl::Status CountRunningImage(Transaction& tx, const store::DeviceRow* old,
                               const store::DeviceRow* next);
// Counts all devices anew, in one change. `tx` sees no other writer's.
absl::Status RecountRunningImages(Transaction& tx);

struct RunningDevices {
  uint64_t devices = 0;
  // Memory is rounded down to 64 KiB, and 16 MiB stands for more.
  std::vector<rules::CountedAbilities> abilities;
};
// Digest in hex → devices of the type that run it. Reads no device.
absl::StatusOr<std::map<std::string, RunningDevices>> RunningImages(
    const Store& store, const std::string& device_type);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_RUNNING_IMAGES_H_
