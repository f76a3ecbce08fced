// Lists of devices: what a request selects, in which order, from where on.
#ifndef SHOAL_SERVER_FLEET_DEVICE_LIST_H_
#define SHOAL_SERVER_FLEET_DEVICE_LIST_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/fleet/filter/filter.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"
#include "shoal/fleet/v1/device_service.pb.h"

namespace shoal::server {

// A device as the API shows it.
fleet::v1::Device DeviceView(const store::DeviceRow& row);

// "bad_filter", "bad_label", "bad_request", "bad_order_by", "bad_page_size",
// "bad_page_token" (of another filter or order, too).
absl::StatusOr<fleet::v1::ListDevicesResponse> ListDevices(
    const Store& store, const fleet::v1::ListDevicesRequest& request);

// What `filter` selects, in the order of names, until `visit` returns false.
// One moment's view; rows are read as they are visited.
absl::Status ForEachDevice(
    const Store& store, const FilterNode& filter,
    const std::function<bool(const store::DeviceRow&)>& visit);

// Page token: what the list was asked for, and the last place shown.
std::string ListToken(std::string_view question, std::string_view last);
// "bad_page_token" unless ListToken() made it for the same question. Empty:
// empty.
absl::StatusOr<std::string> ParseListToken(std::string_view question,
                                           const std::string& token);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_DEVICE_LIST_H_
