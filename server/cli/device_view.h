// How devices, groups and histories look in a terminal. Pure.
#ifndef SHOAL_SERVER_CLI_DEVICE_VIEW_H_
#define SHOAL_SERVER_CLI_DEVICE_VIEW_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/cli/output.h"
#include "shoal/fleet/v1/device_service.pb.h"
#include "shoal/fleet/v1/group_service.pb.h"

namespace shoal::cli {

inline constexpr char kDeviceColumns[] =
    "id,state,type,version,labels,seen,waiting";

// "id,state,labels.site,…" → columns; a usage error names those that exist.
absl::StatusOr<std::vector<std::string>> ParseColumns(std::string_view text);

// Columns that ParseColumns() passed.
Table DeviceTable(const std::vector<std::string>& columns);
void AddDeviceRow(Table& table, const std::vector<std::string>& columns,
                  const fleet::v1::Device& device, absl::Time now);
std::string DescribeDevice(const fleet::v1::Device& device);
// "accepted".
std::string DeviceStateText(const fleet::v1::Device& device);

std::string GroupTable(
    const google::protobuf::RepeatedPtrField<fleet::v1::Group>& groups,
    size_t width);
std::string DescribeGroup(const fleet::v1::Group& group);
std::string EventTable(
    const google::protobuf::RepeatedPtrField<fleet::v1::DeviceEvent>& events,
    size_t width);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_DEVICE_VIEW_H_
