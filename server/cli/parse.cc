#include "server/cli/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "common/bytes.h"
#include "common/status.h"
#include "server/cli/exit_code.h"

namespace shoal::cli {
namespace {

constexpr absl::Duration kLongest = absl::Hours(24 * 3653);

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == text.npos) return parts;
    text.remove_prefix(at + 1);
  }
}

// (key, value) at the first '='.
std::optional<std::pair<std::string_view, std::string_view>> KeyValue(
    std::string_view text) {
  const size_t at = text.find('=');
  if (at == text.npos) return std::nullopt;
  return std::pair(text.substr(0, at), text.substr(at + 1));
}

template <typename T>
std::optional<T> Number(std::string_view text) {
  T value{};
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

absl::StatusOr<double> Percent(std::string_view text) {
  std::string_view number = text;
  if (number.ends_with('%')) number.remove_suffix(1);
  const auto value = Number<double>(number);
  if (!value || !std::isfinite(*value) || *value < 0 || *value > 100) {
    return UsageError(
        fmt::format("'{}' is no percentage: write 0% to 100%", text));
  }
  return *value;
}

absl::Status CheckLabel(std::string_view key, std::string_view value) {
  if (!IsIdentifier(key)) {
    return UsageError(fmt::format(
        "'{}' is no label name: letters, digits, '.', '_', '-'; at most 64",
        key));
  }
  if (value.empty() || value.size() > 128) {
    return UsageError(
        fmt::format("the value of label '{}' has 1 to 128 characters", key));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> Minute(std::string_view text) {
  const auto parts = Split(text, ':');
  if (parts.size() == 2) {
    const auto hour = Number<uint32_t>(parts[0]);
    const auto minute = Number<uint32_t>(parts[1]);
    if (hour && minute && *hour < 24 && *minute < 60) {
      return *hour * 60 + *minute;
    }
  }
  return UsageError(fmt::format("'{}' is no time of day: write HH:MM", text));
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  const auto bad = [&] {
    return UsageError(fmt::format(
        "'{}' is no duration: write 90s, 15m, 1h30m, 24h, 7d or 2w", text));
  };
  absl::Duration total;
  // Days and weeks are beyond absl::ParseDuration.
  for (const auto& [unit, length] :
       {std::pair('w', absl::Hours(168)), std::pair('d', absl::Hours(24))}) {
    if (!text.ends_with(unit)) continue;
    const auto count = Number<uint32_t>(text.substr(0, text.size() - 1));
    if (!count || *count == 0 || *count > 4000) return bad();
    total = length * static_cast<int64_t>(*count);
  }
  if (total == absl::ZeroDuration() &&
      !absl::ParseDuration(std::string(text), &total)) {
    return bad();
  }
  if (total <= absl::ZeroDuration() || total > kLongest) return bad();
  return total;
}

absl::StatusOr<uint32_t> ParsePermille(std::string_view text) {
  SHOAL_ASSIGN_OR_RETURN(const double percent, Percent(text));
  const double permille = percent * 10;
  const auto rounded = static_cast<uint32_t>(std::lround(permille));
  if (std::abs(permille - rounded) > 1e-6) {
    return UsageError(
        fmt::format("'{}' is finer than a tenth of a percent", text));
  }
  return rounded;
}

absl::StatusOr<Labels> ParseLabels(const std::vector<std::string>& texts) {
  Labels labels;
  for (const auto& text : texts) {
    const auto pair = KeyValue(text);
    if (!pair) {
      return UsageError(fmt::format("'{}' is no label: write key=value", text));
    }
    SHOAL_RETURN_IF_ERROR(CheckLabel(pair->first, pair->second));
    if (!labels.emplace(pair->first, pair->second).second) {
      return UsageError(fmt::format("label '{}' is given twice", pair->first));
    }
  }
  return labels;
}

absl::StatusOr<Labels> ApplyLabelChanges(
    Labels labels, const std::vector<std::string>& texts) {
  for (const auto& text : texts) {
    if (const auto pair = KeyValue(text)) {
      SHOAL_RETURN_IF_ERROR(CheckLabel(pair->first, pair->second));
      labels[std::string(pair->first)] = std::string(pair->second);
    } else if (text.ends_with('-') &&
               IsIdentifier(text.substr(0, text.size() - 1))) {
      labels.erase(text.substr(0, text.size() - 1));
    } else {
      return UsageError(fmt::format(
          "'{}' is no change of a label: write key=value to set it, key- to "
          "remove it",
          text));
    }
  }
  return labels;
}

absl::StatusOr<rollout::v1::PhaseSpec> ParsePhase(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  if (colon == text.npos || !IsIdentifier(name)) {
    return UsageError(fmt::format(
        "'{}' is no phase: write NAME:count=N or NAME:percent=P, then "
        "soak=10m, success=95%, min=20, manual, label.site=a as needed",
        text));
  }
  rollout::v1::PhaseSpec phase;
  phase.set_name(std::string(name));
  int sizes = 0;
  for (const std::string_view part : Split(text.substr(colon + 1), ',')) {
    if (part == "manual") {
      phase.mutable_gate()->set_manual(true);
      continue;
    }
    const auto pair = KeyValue(part);
    if (!pair) {
      return UsageError(
          fmt::format("phase '{}': '{}' is no key=value", name, part));
    }
    const auto [key, value] = *pair;
    if (key == "count" || key == "min") {
      const auto number = Number<uint32_t>(value);
      if (!number || *number == 0) {
        return UsageError(
            fmt::format("phase '{}': {} is a whole number of devices from 1 on",
                        name, key));
      }
      if (key == "count") {
        phase.set_count(*number);
        ++sizes;
      } else {
        phase.mutable_gate()->set_min_outcomes(*number);
      }
    } else if (key == "percent") {
      SHOAL_ASSIGN_OR_RETURN(const double percent, Percent(value));
      phase.set_percent(percent);
      ++sizes;
    } else if (key == "soak") {
      SHOAL_ASSIGN_OR_RETURN(const absl::Duration soak, ParseDuration(value));
      phase.mutable_gate()->set_soak_ms(absl::ToInt64Milliseconds(soak));
    } else if (key == "success") {
      SHOAL_ASSIGN_OR_RETURN(const uint32_t permille, ParsePermille(value));
      phase.mutable_gate()->set_success_permille(permille);
    } else if (key.starts_with("label.")) {
      const std::string_view label = key.substr(6);
      SHOAL_RETURN_IF_ERROR(CheckLabel(label, value));
      (*phase.mutable_labels())[std::string(label)] = std::string(value);
    } else {
      return UsageError(fmt::format(
          "phase '{}': unknown '{}'; there are count, percent, soak, success, "
          "min, manual, label.KEY",
          name, key));
    }
  }
  if (sizes != 1) {
    return UsageError(fmt::format(
        "phase '{}' needs exactly one of count=N and percent=P", name));
  }
  return phase;
}

absl::StatusOr<policy::v1::TimeWindow> ParseWindow(std::string_view text) {
  policy::v1::TimeWindow window;
  std::string_view times = text;
  if (const size_t blank = text.find(' '); blank != text.npos) {
    times = text.substr(blank + 1);
    for (const std::string_view part : Split(text.substr(0, blank), ',')) {
      const auto ends = Split(part, '-');
      const auto from = Number<uint32_t>(ends.front());
      const auto to = Number<uint32_t>(ends.back());
      if (ends.size() > 2 || !from || !to || *from < 1 || *to > 7 ||
          *from > *to) {
        return UsageError(fmt::format(
            "'{}' are no weekdays: write 1-5 or 1,3,7 (1 is Monday)", part));
      }
      for (uint32_t day = *from; day <= *to; ++day) window.add_weekdays(day);
    }
  }
  const auto ends = Split(times, '-');
  if (ends.size() != 2) {
    return UsageError(fmt::format(
        "'{}' is no window: write '22:00-04:00' or '1-5 22:00-04:00'", text));
  }
  SHOAL_ASSIGN_OR_RETURN(const uint32_t from, Minute(ends[0]));
  SHOAL_ASSIGN_OR_RETURN(const uint32_t to, Minute(ends[1]));
  window.set_from_minute(from);
  window.set_to_minute(to);
  return window;
}

absl::StatusOr<std::string> DeviceName(std::string_view text) {
  std::string_view id = text;
  if (id.starts_with("devices/")) id.remove_prefix(8);
  const auto bytes = HexDecode(id);
  if (!bytes.ok() || bytes->size() != 16) {
    return UsageError(fmt::format(
        "'{}' is no device id: 32 hex digits, as 'shoal device list' shows",
        text));
  }
  return "devices/" + HexEncode(*bytes);
}

absl::StatusOr<std::string> DeviceIdOf(std::string_view device_name) {
  SHOAL_ASSIGN_OR_RETURN(const std::string name, DeviceName(device_name));
  return HexDecode(std::string_view(name).substr(8));
}

absl::StatusOr<std::string> RolloutName(std::string_view text) {
  std::string_view id = text;
  if (id.starts_with("rollouts/")) id.remove_prefix(9);
  if (!IsIdentifier(id)) {
    return UsageError(fmt::format(
        "'{}' is no rollout id: letters, digits, '.', '_', '-'; at most 64",
        text));
  }
  return "rollouts/" + std::string(id);
}

absl::StatusOr<ReleaseId> ParseReleaseId(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with("releases/")) rest.remove_prefix(9);
  const auto parts = Split(rest, '/');
  if (parts.size() != 2 || !IsIdentifier(parts[0]) || !IsIdentifier(parts[1])) {
    return UsageError(fmt::format(
        "'{}' is no release: write TYPE/VERSION, such as gateway/1.4.0", text));
  }
  return ReleaseId{std::string(parts[0]), std::string(parts[1])};
}

}  // namespace shoal::cli
