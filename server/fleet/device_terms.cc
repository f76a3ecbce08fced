#include "server/fleet/device_terms.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"

namespace shoal::server {
namespace {

constexpr int kMaxInventory = 48;
constexpr size_t kMaxText = 128;
constexpr size_t kMaxWaitingReason = 512;
constexpr int64_t kHour = 3'600'000;
constexpr std::string_view kStatePrefix = "ENROLMENT_STATE_";

std::string Prefix(std::string_view field) {
  std::string prefix(field);
  prefix.push_back('\0');
  return prefix;
}
std::string Prefix(std::string_view field, std::string_view key) {
  return Prefix(field) + Prefix(key);
}

std::string StateText(fleet::v1::EnrolmentState state) {
  std::string text = fleet::v1::EnrolmentState_Name(state);
  if (text.starts_with(kStatePrefix)) text.erase(0, kStatePrefix.size());
  return text;
}

// Cuts at a character, so that the text stays UTF-8.
void Cut(std::string& text, size_t max) {
  if (text.size() <= max) return;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xC0) == 0x80) {
    --max;
  }
  text.resize(max);
}

}  // namespace

std::string TermPrefix(const FilterCondition& condition) {
  switch (condition.field) {
    case FilterField::kState:
      return Prefix("state");
    case FilterField::kDeviceType:
      return Prefix("device_type");
    case FilterField::kLabels:
      return Prefix("labels", condition.key);
    case FilterField::kInventory:
      return Prefix("inventory", condition.key);
    case FilterField::kRunningVersion:
      return Prefix("running_version");
    case FilterField::kAgentVersion:
      return Prefix("agent_version");
    case FilterField::kRunningSha256:
      return Prefix("running_sha256");
    case FilterField::kLastSeen:
      return Prefix("last_seen");
    case FilterField::kGroup:
      return Prefix("group");
    case FilterField::kName:
      break;
  }
  return "";
}

DeviceTerm AllDevicesTerm() { return {Prefix("all"), ""}; }

DeviceTerm GroupTerm(std::string_view group_id) {
  return {Prefix("group"), std::string(group_id)};
}

DeviceTerm StateTerm(fleet::v1::EnrolmentState state) {
  return {Prefix("state"), StateText(state)};
}

DeviceTerm TypeTerm(std::string_view device_type) {
  return {Prefix("device_type"), std::string(device_type)};
}

DeviceTerm ImageTerm(std::string_view sha256) {
  return {Prefix("running_sha256"), std::string(sha256)};
}

std::string HourValue(int64_t time) {
  std::string value;
  AppendBigEndian(value,
                  static_cast<uint64_t>(std::max<int64_t>(0, time / kHour)), 4);
  return value;
}

std::vector<DeviceTerm> TermsOf(const store::DeviceRow& row) {
  const fleet::v1::Device& device = row.device();
  std::vector<DeviceTerm> terms;
  const auto add = [&](std::string prefix, const std::string& value) {
    if (!value.empty()) terms.push_back({std::move(prefix), value});
  };
  terms.push_back(AllDevicesTerm());
  terms.push_back(StateTerm(device.state()));
  add(Prefix("device_type"), device.device_type());
  add(Prefix("running_version"), device.running_version());
  add(Prefix("agent_version"), device.agent_version());
  add(Prefix("running_sha256"), device.running_sha256());
  // A label may be empty: that it is there counts.
  for (const auto& [key, value] : device.labels()) {
    terms.push_back({Prefix("labels", key), value});
  }
  for (const auto& [key, value] : device.inventory()) {
    terms.push_back({Prefix("inventory", key), value});
  }
  for (const std::string& group : device.groups()) {
    terms.push_back(GroupTerm(group.substr(group.find('/') + 1)));
  }
  if (device.last_seen_at() > 0) {
    terms.push_back({Prefix("last_seen"), HourValue(device.last_seen_at())});
  }
  std::sort(terms.begin(), terms.end());
  terms.erase(std::unique(terms.begin(), terms.end()), terms.end());
  return terms;
}

FilterSubject::FilterSubject(const store::DeviceRow& row)
    : id(HexEncode(row.assignment().device_id())),
      last_seen(row.device().last_seen_at()),
      terms(TermsOf(row)) {}

bool Matches(const FilterNode& filter, const FilterSubject& device) {
  return EvaluateFilter(filter, [&](const FilterCondition& condition) {
    using Op = FilterCondition::Op;
    if (condition.field == FilterField::kName) {
      return ValueMatches(condition, device.id);
    }
    if (condition.field == FilterField::kLastSeen) {
      if (device.last_seen == 0) return false;
      switch (condition.op) {
        case Op::kLess:
          return device.last_seen < condition.time;
        case Op::kLessEqual:
          return device.last_seen <= condition.time;
        case Op::kGreater:
          return device.last_seen > condition.time;
        case Op::kGreaterEqual:
          return device.last_seen >= condition.time;
        default:
          return true;  // last_seen:*
      }
    }
    const std::string prefix = TermPrefix(condition);
    auto term = std::lower_bound(device.terms.begin(), device.terms.end(),
                                 DeviceTerm{prefix, ""});
    for (; term != device.terms.end() && term->prefix == prefix; ++term) {
      if (ValueMatches(condition, term->value)) return true;
    }
    return false;
  });
}

void BoundReported(fleet::v1::Device& device) {
  std::vector<std::string> keys;
  for (auto& [key, value] : *device.mutable_inventory()) {
    keys.push_back(key);
    Cut(value, kMaxText);
  }
  std::sort(keys.begin(), keys.end());
  int kept = 0;
  for (const std::string& key : keys) {
    if (!IsIdentifier(key) || ++kept > kMaxInventory) {
      device.mutable_inventory()->erase(key);
    }
  }
  Cut(*device.mutable_running_version(), kMaxText);
  Cut(*device.mutable_agent_version(), kMaxText);
  Cut(*device.mutable_waiting_reason(), kMaxWaitingReason);
}

}  // namespace shoal::server
