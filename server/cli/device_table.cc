#include "server/cli/device_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "common/status.h"
#include "server/cli/csv.h"
#include "server/cli/device_view.h"

namespace shoal::cli {
namespace {

constexpr std::string_view kLabel = "label.";
// Only where a device has such labels: in a column of its own an empty value
// looks like none.
constexpr std::string_view kEmptyLabels = "empty_labels";

std::string GroupIds(const fleet::v1::Device& device) {
  std::string text;
  for (const auto& group : device.groups()) {
    text += (text.empty() ? "" : " ") + ShortName(group);
  }
  return text;
}

std::string Prefixed(std::string_view prefix, std::string_view id) {
  return id.starts_with(prefix) ? std::string(id)
                                : std::string(prefix) + std::string(id);
}

void ForEachWord(std::string_view text,
                 const std::function<void(std::string_view)>& visit) {
  while (!text.empty()) {
    const size_t blank = text.find(' ');
    if (blank != 0) visit(text.substr(0, blank));
    text.remove_prefix(blank == text.npos ? text.size() : blank + 1);
  }
}

std::string EmptyLabels(const fleet::v1::Device& device) {
  std::set<std::string> keys;
  for (const auto& [key, value] : device.labels())
    if (value.empty()) keys.insert(key);
  return fmt::format("{}", fmt::join(keys, " "));
}

absl::Status SetColumn(const std::string& column, const std::string& value,
                       fleet::v1::DeviceImport& device) {
  if (value.empty() || column == "state") return absl::OkStatus();
  if (column == "name") {
    device.set_name(Prefixed("devices/", value));
  } else if (column == "public_key") {
    device.set_public_key(value);
  } else if (column == "device_type") {
    device.set_device_type(value);
  } else if (column == "groups") {
    ForEachWord(value, [&](std::string_view id) {
      device.add_groups(Prefixed("groups/", id));
    });
  } else if (column == kEmptyLabels) {
    ForEachWord(value, [&](std::string_view key) {
      (*device.mutable_labels())[std::string(key)] = "";
    });
  } else if (column.starts_with(kLabel)) {
    (*device.mutable_labels())[column.substr(kLabel.size())] = value;
  } else {
    return InvalidArgument(
        "bad_csv",
        fmt::format("there is no column '{}'; columns are name, public_key, "
                    "device_type, state, groups, empty_labels, label.KEY",
                    column));
  }
  return absl::OkStatus();
}

}  // namespace

std::string DevicesToCsv(const std::vector<fleet::v1::Device>& devices) {
  std::set<std::string> labels;
  bool empty_ones = false;
  for (const auto& device : devices) {
    for (const auto& [key, value] : device.labels()) {
      if (!value.empty()) labels.insert(key);
      empty_ones |= value.empty();
    }
  }
  std::vector<std::string> header = {"name", "public_key", "device_type",
                                     "state", "groups"};
  if (empty_ones) header.emplace_back(kEmptyLabels);
  for (const auto& key : labels) {
    header.push_back(std::string(kLabel) + key);
  }
  std::string out = CsvLine(header);
  for (const auto& device : devices) {
    std::vector<std::string> line = {device.name(), device.public_key(),
                                     device.device_type(),
                                     DeviceStateText(device), GroupIds(device)};
    if (empty_ones) line.push_back(EmptyLabels(device));
    for (const auto& key : labels) {
      const auto it = device.labels().find(key);
      line.push_back(it == device.labels().end() ? "" : it->second);
    }
    out += CsvLine(line);
  }
  return out;
}

absl::StatusOr<std::vector<fleet::v1::DeviceImport>> DevicesFromCsv(
    std::string_view text) {
  SHOAL_ASSIGN_OR_RETURN(const auto lines, ParseCsv(text));
  std::vector<fleet::v1::DeviceImport> devices;
  if (lines.empty()) {
    return InvalidArgument("bad_csv", "the first line names the columns");
  }
  const auto& header = lines.front();
  // A header that nothing can be made of is an error even without lines.
  for (const auto& column : header) {
    fleet::v1::DeviceImport probe;
    SHOAL_RETURN_IF_ERROR(SetColumn(column, "x", probe));
  }
  for (size_t i = 1; i < lines.size(); ++i) {
    fleet::v1::DeviceImport device;
    for (size_t k = 0; k < header.size(); ++k) {
      SHOAL_RETURN_IF_ERROR(SetColumn(header[k], lines[i][k], device));
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

absl::StatusOr<std::vector<fleet::v1::DeviceImport>> DevicesFromJson(
    std::string_view text) {
  std::vector<fleet::v1::DeviceImport> devices;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    fleet::v1::DeviceImport device;
    const auto parsed = google::protobuf::util::JsonStringToMessage(
        std::string(line), &device, options);
    if (!parsed.ok()) {
      return InvalidArgument(
          "bad_json", fmt::format("line {}: {}", number, parsed.ToString()));
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

}  // namespace shoal::cli
