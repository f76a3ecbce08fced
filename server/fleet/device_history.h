// What happened to a device: derived from each change of its row, the newest
// hundred kept beside it.
#ifndef SHOAL_SERVER_FLEET_DEVICE_HISTORY_H_
#define SHOAL_SERVER_FLEET_DEVICE_HISTORY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"

namespace shoal::server {

inline constexpr uint64_t kMaxDeviceEvents = 100;

// Writes the events between `old` (null: a new device) and `next` into `tx`,
// who: tx.actor(); counts them in `next`.
void WriteDeviceHistory(Transaction& tx, const store::DeviceRow* old,
                        store::DeviceRow& next);
// Deletes all of them.
void DropDeviceHistory(Transaction& tx, const store::DeviceRow& row);

// Newest first. "bad_name", "not_found", "bad_page_size", "bad_page_token".
absl::StatusOr<fleet::v1::ListDeviceEventsResponse> ListDeviceHistory(
    const Store& store, const fleet::v1::ListDeviceEventsRequest& request);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_DEVICE_HISTORY_H_
