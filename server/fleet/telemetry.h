// Telemetry as it arrives from the storage nodes: opened, kept once, counted
// exactly, so that a gap or a duplicate is proven and never guessed.
#ifndef SHOAL_SERVER_FLEET_TELEMETRY_H_
#define SHOAL_SERVER_FLEET_TELEMETRY_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/box.h"
#include "dht/records/record.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"
#include "shoal/telemetry/v1/telemetry_service.pb.h"

namespace shoal::server {

// Thread-safe.
class Telemetry {
 public:
  Telemetry(Store& store, const crypto::BoxKey& key)
      : store_(store), key_(key) {}

  // A verified TELEMETRY record. What can't be opened or contradicts its
  // record is logged and dropped.
  absl::Status OnRecord(Transaction& tx, const dht::VerifiedRecord& record);

  // Batches after cursor `after`, in order of arrival, until `visit` returns
  // false. `device`: 16 bytes, or empty for all.
  absl::Status Read(
      uint64_t after, const std::string& device,
      std::function<bool(const telemetry::v1::TailTelemetryResponse&)> visit)
      const;
  // The cursor after which the newest `last` batches of `device` follow.
  absl::StatusOr<uint64_t> CursorOfLast(uint32_t last,
                                        const std::string& device) const;
  absl::StatusOr<telemetry::v1::GetTelemetryStatusResponse> Status() const;

 private:
  Store& store_;
  const crypto::BoxKey& key_;
};

// Adds `sequence` to the row's ranges; false: it is there already.
bool AddSequence(store::StreamRow& row, uint64_t sequence);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_TELEMETRY_H_
