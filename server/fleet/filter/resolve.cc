#include "server/fleet/filter/resolve.h"

#include <algorithm>
#include <array>

#include "common/bytes.h"
#include "common/status.h"
#include "fmt/format.h"

namespace shoal::server {
namespace {

using Op = FilterCondition::Op;

struct FieldInfo {
  std::string_view name;
  FilterField field;
  bool map = false;      // has keys
  bool ordered = false;  // < <= > >= make sense
};
constexpr FieldInfo kFields[] = {
    {"state", FilterField::kState},
    {"device_type", FilterField::kDeviceType},
    {"labels", FilterField::kLabels, true, true},
    {"inventory", FilterField::kInventory, true, true},
    {"running_version", FilterField::kRunningVersion, false, true},
    {"agent_version", FilterField::kAgentVersion, false, true},
    {"running_sha256", FilterField::kRunningSha256},
    {"last_seen", FilterField::kLastSeen, false, true},
    {"group", FilterField::kGroup},
    {"name", FilterField::kName},
};
constexpr std::array<std::string_view, 5> kStates = {
    "PENDING", "PREAUTHORIZED", "ACCEPTED", "REJECTED", "DECOMMISSIONED"};

Op OpOf(std::string_view symbol) {
  if (symbol == "!=") return Op::kNotEqual;
  if (symbol == "<") return Op::kLess;
  if (symbol == "<=") return Op::kLessEqual;
  if (symbol == ">") return Op::kGreater;
  if (symbol == ">=") return Op::kGreaterEqual;
  return Op::kEqual;  // "=" and ":"
}

bool IsEquality(Op op) { return op == Op::kEqual || op == Op::kNotEqual; }

// "-90s", "-15m", "-12h", "-7d", "-2w": so long before now.
absl::StatusOr<absl::Duration> BeforeNow(std::string_view text) {
  const absl::Status bad = InvalidArgument("bad_duration", "no duration");
  if (text.size() < 3 || text.size() > 10 || text.front() != '-') return bad;
  int64_t number = 0;
  for (const char c : text.substr(1, text.size() - 2)) {
    if (c < '0' || c > '9') return bad;
    number = number * 10 + (c - '0');
  }
  switch (text.back()) {
    case 's':
      return absl::Seconds(number);
    case 'm':
      return absl::Minutes(number);
    case 'h':
      return absl::Hours(number);
    case 'd':
      return absl::Hours(24 * number);
    case 'w':
      return absl::Hours(7 * 24 * number);
    default:
      return bad;
  }
}

absl::Status ResolveTime(const FilterWords& words, absl::Time now,
                         FilterCondition& condition) {
  if (IsEquality(condition.op)) {
    if (words.op != "=" && condition.op == Op::kEqual &&
        condition.pattern.anything()) {
      return absl::OkStatus();  // last_seen:*
    }
    return FilterError(words.operator_position,
                       "last_seen is compared with < <= > >=, or last_seen:* "
                       "for ever seen");
  }
  const auto before = BeforeNow(words.value.text);
  absl::Time time;
  std::string error;
  if (before.ok()) {
    time = now - *before;
  } else if (!absl::ParseTime(absl::RFC3339_full, words.value.text, &time,
                              &error)) {
    return FilterError(words.value_position,
                       "a time is 2026-01-31T12:00:00Z, or -7d for seven days "
                       "ago (s, m, h, d, w)");
  }
  condition.time = std::max<int64_t>(0, absl::ToUnixMillis(time));
  return absl::OkStatus();
}

absl::Status ResolveState(const FilterWords& words,
                          FilterCondition& condition) {
  if (condition.pattern.anything()) return absl::OkStatus();
  std::string text = words.value.text;
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  constexpr std::string_view kPrefix = "ENROLMENT_STATE_";
  if (text.starts_with(kPrefix)) text.erase(0, kPrefix.size());
  if (std::find(kStates.begin(), kStates.end(), text) == kStates.end()) {
    return FilterError(words.value_position,
                       "a state is pending, preauthorized, accepted, rejected "
                       "or decommissioned");
  }
  condition.pattern.pieces = {text};
  return absl::OkStatus();
}

// "groups/ID" and "devices/ID" are taken too: the API's own names.
void DropPrefix(std::string_view prefix, TextPattern& pattern) {
  if (pattern.pieces.front().starts_with(prefix)) {
    pattern.pieces.front().erase(0, prefix.size());
  }
}

absl::Status ResolveKey(const FilterWords& words, const FieldInfo& info,
                        FilterCondition& condition) {
  if (!info.map) {
    if (!words.field.has_key) return absl::OkStatus();
    return FilterError(words.position,
                       fmt::format("{} has no parts", words.field.name));
  }
  if (words.field.has_key) {
    condition.key = words.field.key;
  } else if (words.op == ":" && words.value.pattern.exact()) {
    condition.key = words.value.text;  // labels:K is labels.K:*
    condition.pattern.pieces = {"", ""};
  } else {
    return FilterError(words.position,
                       fmt::format("say {0}.KEY, or {0}:KEY for devices that "
                                   "have it",
                                   info.name));
  }
  if (!IsIdentifier(condition.key)) {
    return FilterError(words.position,
                       fmt::format("a key of {} is an identifier", info.name));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FilterCondition> ResolveCondition(const FilterWords& words,
                                                 absl::Time now) {
  const auto info = std::find_if(
      std::begin(kFields), std::end(kFields),
      [&](const FieldInfo& f) { return f.name == words.field.name; });
  if (info == std::end(kFields)) {
    return FilterError(words.position,
                       fmt::format("there is no field '{}'; fields are state, "
                                   "device_type, labels.KEY, inventory.KEY, "
                                   "running_version, agent_version, "
                                   "running_sha256, last_seen, group, name",
                                   words.field.name));
  }
  FilterCondition condition;
  condition.field = info->field;
  condition.op = OpOf(words.op);
  condition.pattern = words.value.pattern;
  condition.position = words.position;
  SHOAL_RETURN_IF_ERROR(ResolveKey(words, *info, condition));
  if (!IsEquality(condition.op)) {
    if (!info->ordered) {
      return FilterError(
          words.operator_position,
          fmt::format("{} has no order: use =, != or :", info->name));
    }
    condition.text = words.value.text;
  }
  switch (info->field) {
    case FilterField::kLastSeen:
      SHOAL_RETURN_IF_ERROR(ResolveTime(words, now, condition));
      break;
    case FilterField::kState:
      SHOAL_RETURN_IF_ERROR(ResolveState(words, condition));
      break;
    case FilterField::kGroup:
      if (condition.op == Op::kNotEqual) {
        return FilterError(words.operator_position,
                           "a device may be in many groups: say NOT group = "
                           "ID");
      }
      DropPrefix("groups/", condition.pattern);
      break;
    case FilterField::kName:
      DropPrefix("devices/", condition.pattern);
      break;
    default:
      break;
  }
  return condition;
}

}  // namespace shoal::server
