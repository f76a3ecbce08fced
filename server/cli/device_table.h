// Devices as a file: one line a device, CSV (a column for each label) or JSON
// (the API's message). What `device export` writes and `device import` takes.
#ifndef SHOAL_SERVER_CLI_DEVICE_TABLE_H_
#define SHOAL_SERVER_CLI_DEVICE_TABLE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "shoal/fleet/v1/device_service.pb.h"

namespace shoal::cli {

// Header "name,public_key,device_type,state,groups,label.KEY…"; groups
// separated by blanks. A column "label.KEY" that is empty for a device: the
// device has no such label; keys of labels with an empty value stand in a column
// "empty_labels", separated by blanks, which is there when a device has any.
std::string DevicesToCsv(const std::vector<fleet::v1::Device>& devices);

// Columns may stand in any order; those that are not known are an error
// ("bad_csv"), "state" is not taken over.
absl::StatusOr<std::vector<fleet::v1::DeviceImport>> DevicesFromCsv(
    std::string_view text);
// A JSON object a line; fields beyond DeviceImport's are passed over.
// "bad_json" with the line's number.
absl::StatusOr<std::vector<fleet::v1::DeviceImport>> DevicesFromJson(
    std::string_view text);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_DEVICE_TABLE_H_
