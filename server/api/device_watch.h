// What WatchDevices sends: the devices in the order of their newest changes,
// from the first or from where an earlier watch ended, then each change.
#ifndef SHOAL_SERVER_API_DEVICE_WATCH_H_
#define SHOAL_SERVER_API_DEVICE_WATCH_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/fleet/device_set.h"
#include "server/fleet/filter/filter.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"
#include "shoal/fleet/v1/device_service.pb.h"

namespace shoal::server {

// One watch; one thread. Ends before the store.
class DeviceWatch {
 public:
  // "bad_filter", "bad_page_token" (of another filter), kOutOfRange
  // "resume_token_expired" (of a store that was set back): watch anew then.
  static absl::StatusOr<DeviceWatch> Start(
      const Store& store, const fleet::v1::WatchDevicesRequest& request);

  // The next message; none: nothing is due. After some work without one it
  // says `more`: what comes next is due now.
  struct Step {
    std::optional<fleet::v1::Device> device;
    bool more = false;
  };
  absl::StatusOr<Step> Next();

  // Until `cancelled()`, the store shuts down or `send` returns false.
  absl::Status Run(const std::function<bool()>& cancelled,
                   const std::function<bool(const fleet::v1::Device&)>& send);

 private:
  DeviceWatch(const Store& store, FilterNode filter, std::string question)
      : store_(store),
        filter_(std::move(filter)),
        question_(std::move(question)) {}
  // The next changes; empty: none are there.
  absl::StatusOr<std::vector<store::DeviceRow>> Read() const;
  // What the watcher is told of a change, if anything.
  std::optional<fleet::v1::Device> MessageOf(const store::DeviceRow& row);

  const Store& store_;
  const FilterNode filter_;
  const std::string question_;
  std::string after_;  // key of kDeviceChanges
  std::vector<store::DeviceRow> rows_;
  size_t at_ = 0;  // the next of them
  // A resumed watch can't know whom the earlier one sent.
  bool tell_all_ = false;
  DeviceSet sent_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_DEVICE_WATCH_H_
