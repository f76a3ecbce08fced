#include "server/cli/device_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "common/bytes.h"
#include "common/status.h"
#include "server/cli/exit_code.h"

namespace shoal::cli {
namespace {

constexpr std::string_view kColumns[] = {
    "id",   "state",    "type",    "version", "counter", "image", "agent",
    "seen", "enrolled", "waiting", "policy",  "labels",  "groups"};
constexpr std::string_view kLabel = "labels.";
constexpr std::string_view kInventory = "inventory.";

std::string GroupsText(const fleet::v1::Device& device) {
  std::vector<std::string> ids;
  for (const auto& group : device.groups()) ids.push_back(ShortName(group));
  return JoinSorted(std::move(ids));
}

template <typename Map>
std::string Lookup(const Map& map, const std::string& key) {
  const auto it = map.find(key);
  return it == map.end() ? "" : it->second;
}

std::string Cell(const std::string& column, const fleet::v1::Device& device,
                 absl::Time now) {
  if (column.starts_with(kLabel)) {
    return Lookup(device.labels(), column.substr(kLabel.size()));
  }
  if (column.starts_with(kInventory)) {
    return Lookup(device.inventory(), column.substr(kInventory.size()));
  }
  if (column == "id") return ShortName(device.name());
  if (column == "state") return DeviceStateText(device);
  if (column == "type") return device.device_type();
  if (column == "version") return device.running_version();
  if (column == "counter") return std::to_string(device.running_counter());
  if (column == "image") return device.running_sha256();
  if (column == "agent") return device.agent_version();
  if (column == "seen") return FormatAge(device.last_seen_at(), now);
  if (column == "enrolled") return FormatMillis(device.enrolled_at());
  if (column == "waiting") return device.waiting_reason();
  if (column == "policy") return std::to_string(device.policy_version());
  if (column == "labels") return FormatLabels(device.labels());
  return GroupsText(device);
}

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return text;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseColumns(std::string_view text) {
  std::vector<std::string> columns;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string name(text.substr(0, comma));
    text.remove_prefix(comma == text.npos ? text.size() : comma + 1);
    const size_t dot = name.find('.');
    const bool keyed =
        (name.starts_with(kLabel) || name.starts_with(kInventory)) &&
        IsIdentifier(name.substr(dot + 1));
    if (!keyed && std::find(std::begin(kColumns), std::end(kColumns), name) ==
                      std::end(kColumns)) {
      std::string known;
      for (const auto column : kColumns) known += std::string(column) + ", ";
      return UsageError(fmt::format(
          "there is no column '{}'; columns are {}labels.KEY, inventory.KEY",
          name, known));
    }
    columns.push_back(name);
  }
  if (columns.empty()) return UsageError("--columns names no column");
  return columns;
}

Table DeviceTable(const std::vector<std::string>& columns) {
  std::vector<std::string> header;
  for (const auto& column : columns) {
    const size_t dot = column.find('.');
    header.push_back(
        Upper(dot == column.npos ? column : column.substr(dot + 1)));
  }
  return Table(std::move(header));
}

void AddDeviceRow(Table& table, const std::vector<std::string>& columns,
                  const fleet::v1::Device& device, absl::Time now) {
  std::vector<std::string> cells;
  for (const auto& column : columns) {
    cells.push_back(Cell(column, device, now));
  }
  table.AddRow(std::move(cells));
}

std::string DeviceStateText(const fleet::v1::Device& device) {
  return EnumText(fleet::v1::EnrolmentState_Name(device.state()),
                  "ENROLMENT_STATE_");
}

std::string DescribeDevice(const fleet::v1::Device& device) {
  std::string text = fmt::format(
      "id               {}\nstate            {}\ntype             {}\n"
      "labels           {}\ngroups           {}\n"
      "running          {} (counter {})\n"
      "image            {}\npolicy version   {}\nagent            {}\n"
      "enrolled         {}\nlast seen        {}\nwaiting          {}\n",
      ShortName(device.name()), DeviceStateText(device), device.device_type(),
      FormatLabels(device.labels()), GroupsText(device),
      device.running_version(), device.running_counter(),
      device.running_sha256(), device.policy_version(), device.agent_version(),
      FormatMillis(device.enrolled_at()), FormatMillis(device.last_seen_at()),
      device.waiting_reason().empty() ? "-" : device.waiting_reason());
  if (device.log_size() > 0) {
    text += fmt::format("release log      {} entries\n", device.log_size());
  }
  if (!device.log_alarm().empty()) {
    text += fmt::format("LOG ALARM        {}: {}\n", device.log_alarm(),
                        device.log_alarm_text());
  }
  const auto line = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += fmt::format("{:<16} {}\n", name, value);
  };
  line("fingerprint", device.fingerprint());
  line("came by", device.origin());
  line("manufacturer", device.manufacturer());
  line("serial number", device.serial_number());
  line("turned away", device.reason());
  const std::map<std::string, std::string> inventory(device.inventory().begin(),
                                                     device.inventory().end());
  for (const auto& [name, value] : inventory) {
    text += fmt::format("  {:<14} {}\n", name, value);
  }
  return Printable(text, /*keep_lines=*/true);
}

std::string GroupTable(
    const google::protobuf::RepeatedPtrField<fleet::v1::Group>& groups,
    size_t width) {
  Table table({"ID", "KIND", "MEMBERS", "STATE", "FILTER", "DESCRIPTION"});
  for (const auto& group : groups) {
    table.AddRow({ShortName(group.name()),
                  group.filter().empty() ? "static" : "dynamic",
                  std::to_string(group.member_count()),
                  group.deleting()      ? "deleting"
                  : group.reconciling() ? "updating"
                                        : "ready",
                  group.filter(), group.description()});
  }
  return table.Render(width);
}

std::string DescribeGroup(const fleet::v1::Group& group) {
  return Printable(
      fmt::format("id               {}\nkind             {}\n"
                  "filter           {}\nmembers          {}\n"
                  "state            {}\ndescription      {}\n"
                  "created          {}\n",
                  ShortName(group.name()),
                  group.filter().empty() ? "static" : "dynamic",
                  group.filter().empty() ? "-" : group.filter(),
                  group.member_count(),
                  group.deleting()      ? "deleting"
                  : group.reconciling() ? "updating"
                                        : "ready",
                  group.description().empty() ? "-" : group.description(),
                  FormatMillis(group.created_at())),
      /*keep_lines=*/true);
}

std::string EventTable(
    const google::protobuf::RepeatedPtrField<fleet::v1::DeviceEvent>& events,
    size_t width) {
  Table table({"TIME", "WHAT", "WHO", "DETAIL"});
  for (const auto& event : events) {
    table.AddRow({FormatMillis(event.time()),
                  EnumText(fleet::v1::DeviceEventKind_Name(event.kind()),
                           "DEVICE_EVENT_KIND_"),
                  event.actor(), event.detail()});
  }
  return table.Render(width);
}

}  // namespace shoal::cli
