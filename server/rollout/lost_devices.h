// Of which devices of a rollout no word is to be expected. A device that merely
// waits (its gate is shut, or its window; its owner has not agreed) goes on
// reporting and is not lost.
#ifndef SHOAL_SERVER_ROLLOUT_LOST_DEVICES_H_
#define SHOAL_SERVER_ROLLOUT_LOST_DEVICES_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rules/rollout.h"
#include "server/fleet/devices.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"

namespace shoal::server {

// After which time without an outcome a device of an open phase is lost, if it
// says nothing else either.
absl::Duration LostAfter(const store::RolloutRow& row);
// Nothing was heard of the device for LostAfter(); of one whose last word was
// that it waits, for at least as long as reports of it are apart.
bool IsSilent(const store::RolloutRow& row, const store::DeviceRow& device,
              absl::Time now);
// By its last word it waits for somebody at the device, or for a link without
// costs: it may wait for ever.
bool WaitsForItsOwner(const store::DeviceRow& device);

// Thread-safe.
class LostDevices {
 public:
  LostDevices(const Store& store, const Devices& devices)
      : store_(store), devices_(devices) {}

  // How many of each phase are lost, beside those in `counts`: silent for too
  // long. Where some may be it reads all devices of
  // the type, and then answers by what it read for a hundred times as long as
  // that took.
  absl::StatusOr<std::vector<uint32_t>> InPhases(
      const store::RolloutRow& row,
      const std::vector<rules::OutcomeCount>& counts);

 private:
  struct Look {
    absl::Duration next;            // monotonic: when it is looked again
    std::vector<uint32_t> waiting;  // by phase: neither answered nor lost
  };
  absl::StatusOr<std::vector<uint32_t>> Waiting(const store::RolloutRow& row);

  const Store& store_;
  const Devices& devices_;
  std::mutex mutex_;
  std::map<std::string, Look> looks_;  // by rollout id
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_LOST_DEVICES_H_
