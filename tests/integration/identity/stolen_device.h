// Whoever has a copy of a device's state directory: its keys and credential of
// that day, and the network's keys. Speaks to the fleet's own storage nodes.
#ifndef SHOAL_TESTS_INTEGRATION_IDENTITY_STOLEN_DEVICE_H_
#define SHOAL_TESTS_INTEGRATION_IDENTITY_STOLEN_DEVICE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/state/identity.h"

namespace shoal::testing {

class StolenDevice {
 public:
  // Copies `state` and reads the copy.
  static absl::StatusOr<std::unique_ptr<StolenDevice>> Take(
      const std::string& state, const std::string& copy);

  // Telemetry that says it was made at `issued`.
  std::string Telemetry(uint64_t sequence, absl::Time issued) const;
  // OK when every storage node of the fleet has the record on its disk;
  // "no_receipt" when none has, "some_receipts" when not all have.
  absl::Status Offer(const std::string& record) const;

 private:
  StolenDevice(agent::DeviceKeys keys, agent::Membership membership)
      : keys_(std::move(keys)), membership_(std::move(membership)) {}
  agent::DeviceKeys keys_;
  agent::Membership membership_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_INTEGRATION_IDENTITY_STOLEN_DEVICE_H_
