#include "rules/selector.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "common/bytes.h"
#include "common/status.h"
#include "shoal/policy/v1/policy.pb.h"

namespace shoal::rules {
namespace {
constexpr int kMaxEntries = 1000;
constexpr size_t kMaxLabelValue = 256;
}  // namespace

bool Matches(const policy::v1::DeviceSelector& selector,
             const DeviceFacts& device) {
  if (selector.all()) return true;
  if (selector.device_types().empty() && selector.device_ids().empty() &&
      selector.labels().empty() && selector.groups().empty())
    return false;
  if (!selector.device_types().empty() &&
      std::find(selector.device_types().begin(), selector.device_types().end(),
                device.device_type) == selector.device_types().end())
    return false;
  if (!selector.device_ids().empty() &&
      std::find(selector.device_ids().begin(), selector.device_ids().end(),
                HexEncode(device.id)) == selector.device_ids().end())
    return false;
  if (!selector.groups().empty() &&
      std::none_of(device.groups.begin(), device.groups.end(),
                   [&](const std::string& group) {
                     return std::find(selector.groups().begin(),
                                      selector.groups().end(),
                                      group) != selector.groups().end();
                   }))
    return false;
  for (const auto& [key, value] : selector.labels()) {
    auto label = device.labels.find(key);
    if (label == device.labels.end() || label->second != value) return false;
  }
  return true;
}

absl::Status ValidateSelector(const policy::v1::DeviceSelector& selector) {
  const auto bad = [](const std::string& what) {
    return InvalidArgument("bad_selector", what);
  };
  if (selector.device_types_size() > kMaxEntries ||
      selector.device_ids_size() > kMaxEntries ||
      selector.labels().size() > kMaxEntries ||
      selector.groups_size() > kMaxEntries)
    return bad(
        fmt::format("a selector has at most {} entries a field", kMaxEntries));
  if (selector.all() &&
      (!selector.device_types().empty() || !selector.device_ids().empty() ||
       !selector.labels().empty() || !selector.groups().empty()))
    return bad("\"all\" selects every device: leave the narrower fields out");
  for (const std::string& type : selector.device_types())
    if (!IsIdentifier(type))
      return bad(fmt::format("\"{}\" is not a device type", type));
  for (const std::string& group : selector.groups())
    if (!IsIdentifier(group, 63))
      return bad(fmt::format("\"{}\" is not a group", group));
  for (const std::string& id : selector.device_ids()) {
    auto bytes = HexDecode(id);
    if (!bytes.ok() || bytes->size() != 16 || HexEncode(*bytes) != id)
      return bad(fmt::format(
          "\"{}\" is not a device id (32 lower-case hex digits)", id));
  }
  for (const auto& [key, value] : selector.labels())
    if (!IsIdentifier(key) || value.size() > kMaxLabelValue)
      return bad(
          fmt::format("label \"{}\" is not an identifier with a value "
                      "of at most {} bytes",
                      key, kMaxLabelValue));
  return absl::OkStatus();
}

bool InWindow(const policy::v1::TimeWindow& window, const LocalTime& time) {
  const int from = static_cast<int>(window.from_minute());
  const int to = static_cast<int>(window.to_minute());
  int weekday = time.weekday;
  if (from < to) {
    if (time.minute < from || time.minute >= to) return false;
  } else if (from > to) {
    if (time.minute < from && time.minute >= to) return false;
    // After midnight the window still belongs to the evening before.
    if (time.minute < to) weekday = weekday == 1 ? 7 : weekday - 1;
  }
  return window.weekdays().empty() ||
         std::find(window.weekdays().begin(), window.weekdays().end(),
                   static_cast<uint32_t>(weekday)) != window.weekdays().end();
}

absl::Status ValidateWindow(const policy::v1::TimeWindow& window) {
  if (window.from_minute() > 1439 || window.to_minute() > 1439)
    return InvalidArgument("bad_window",
                           "minutes of a window are from 0 to 1439");
  if (window.weekdays_size() > 7)
    return InvalidArgument("bad_window", "a week has seven days");
  for (uint32_t day : window.weekdays())
    if (day < 1 || day > 7)
      return InvalidArgument("bad_window",
                             "weekdays are 1 (Monday) to 7 (Sunday)");
  return absl::OkStatus();
}

}  // namespace shoal::rules
