#include "server/fleet/device_index.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/bytes.h"

namespace shoal::server {
namespace {

std::string BigEndian(uint64_t value, int width) {
  std::string text;
  AppendBigEndian(text, value, width);
  return text;
}

std::string TermKey(const DeviceTerm& term) {
  std::string key = term.Key();
  key.push_back('\0');
  return key;
}

uint64_t Seen(const store::DeviceRow& row) {
  return static_cast<uint64_t>(
      std::max<int64_t>(0, row.device().last_seen_at()));
}

absl::Status ChangeTerm(Transaction& tx, const DeviceTerm& term,
                        uint32_t number, bool add) {
  const std::string key = TermKey(term) + BigEndian(number / kChunkSize, 4);
  SHOAL_ASSIGN_OR_RETURN(const auto stored, tx.GetRaw(kDeviceTerms, key));
  const std::string chunk = add ? ChunkWith(stored.value_or(""), number)
                                : ChunkWithout(stored.value_or(""), number);
  if (chunk.empty()) {
    tx.Delete(kDeviceTerms, key);
  } else {
    tx.PutRaw(kDeviceTerms, key, chunk);
  }
  return absl::OkStatus();
}

void ChangeOrders(Transaction& tx, const store::DeviceRow* old,
                  const store::DeviceRow* next) {
  const store::DeviceRow& any = next != nullptr ? *next : *old;
  const std::string& id = any.assignment().device_id();
  const std::string number = BigEndian(any.ordinal(), 4);
  if (old != nullptr && (next == nullptr || Seen(*old) != Seen(*next))) {
    tx.Delete(kDevicesSeen, BigEndian(Seen(*old), 8) + id);
  }
  if (next == nullptr) {
    tx.Delete(kDeviceNumbers, number);
    tx.Delete(kDeviceNames, id);
    return;
  }
  if (old == nullptr) tx.PutRaw(kDeviceNames, id, number);
  if (old == nullptr || Seen(*old) != Seen(*next)) {
    const std::string seen = BigEndian(Seen(*next), 8);
    tx.PutRaw(kDeviceNumbers, number, id + seen);
    tx.PutRaw(kDevicesSeen, seen + id, number);
  }
}

}  // namespace

absl::Status WriteDeviceIndex(Transaction& tx, const store::DeviceRow* old,
                              const store::DeviceRow* next) {
  const std::vector<DeviceTerm> before =
      old != nullptr ? TermsOf(*old) : std::vector<DeviceTerm>();
  const std::vector<DeviceTerm> after =
      next != nullptr ? TermsOf(*next) : std::vector<DeviceTerm>();
  const uint32_t number = next != nullptr ? next->ordinal() : old->ordinal();
  std::vector<DeviceTerm> gone;
  std::vector<DeviceTerm> come;
  std::set_difference(before.begin(), before.end(), after.begin(), after.end(),
                      std::back_inserter(gone));
  std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                      std::back_inserter(come));
  for (const DeviceTerm& term : gone) {
    SHOAL_RETURN_IF_ERROR(ChangeTerm(tx, term, number, false));
  }
  for (const DeviceTerm& term : come) {
    SHOAL_RETURN_IF_ERROR(ChangeTerm(tx, term, number, true));
  }
  ChangeOrders(tx, old, next);
  return absl::OkStatus();
}

absl::StatusOr<DeviceSet> DeviceIndex::Find(const DeviceTerm& term) const {
  DeviceSet set;
  bool whole = true;
  const std::string key = TermKey(term);
  SHOAL_RETURN_IF_ERROR(view_->ScanRaw(
      kDeviceTerms, key, "", [&](std::string_view at, std::string_view chunk) {
        // A value with a zero byte may begin with another's key.
        if (at.size() != key.size() + 4) return true;
        whole = set.AddChunk(
            static_cast<uint32_t>(ReadBigEndian(at.substr(key.size()), 4)),
            chunk);
        return whole;
      }));
  if (!whole) return DataLoss("bad_row", "the index of devices is damaged");
  return set;
}

absl::StatusOr<std::map<std::string, DeviceSet>> DeviceIndex::Values(
    const std::string& prefix) const {
  std::map<std::string, DeviceSet> values;
  bool whole = true;
  SHOAL_RETURN_IF_ERROR(view_->ScanRaw(
      kDeviceTerms, prefix, "",
      [&](std::string_view key, std::string_view chunk) {
        const std::string value(
            key.substr(prefix.size(), key.size() - prefix.size() - 5));
        whole = values[value].AddChunk(
            static_cast<uint32_t>(ReadBigEndian(key.substr(key.size() - 4), 4)),
            chunk);
        return whole;
      }));
  if (!whole) return DataLoss("bad_row", "the index of devices is damaged");
  return values;
}

absl::StatusOr<DeviceSet> DeviceIndex::SelectName(
    const FilterCondition& condition) const {
  DeviceSet set;
  // What stands before the first star, as far as it is whole bytes.
  std::string prefix;
  if (condition.op == FilterCondition::Op::kEqual) {
    const std::string& literal = condition.pattern.pieces.front();
    const auto bytes = HexDecode(literal.substr(0, literal.size() / 2 * 2));
    if (!bytes.ok()) return set;  // no id is like that
    prefix = *bytes;
  }
  SHOAL_RETURN_IF_ERROR(view_->ScanRaw(
      kDeviceNames, prefix, "",
      [&](std::string_view id, std::string_view number) {
        if (ValueMatches(condition, HexEncode(id))) {
          set.Add(static_cast<uint32_t>(ReadBigEndian(number, 4)));
        }
        return true;
      }));
  return set;
}

absl::StatusOr<DeviceSet> DeviceIndex::SelectSeen(
    const FilterCondition& condition) const {
  using Op = FilterCondition::Op;
  const bool below =
      condition.op == Op::kLess || condition.op == Op::kLessEqual;
  const bool ever = condition.op == Op::kEqual;  // last_seen:*
  const std::string hour = HourValue(condition.time);
  const std::string prefix = TermPrefix(condition);
  DeviceSet set;
  // Whole hours by their terms; the one that the moment lies in by the times
  // themselves.
  SHOAL_RETURN_IF_ERROR(view_->ScanRaw(
      kDeviceTerms, prefix, "",
      [&](std::string_view key, std::string_view chunk) {
        if (key.size() != prefix.size() + 9) return true;
        const std::string_view value = key.substr(prefix.size(), 4);
        if (below && value >= hour) return false;
        if (ever || (below ? value < hour : value > hour)) {
          set.AddChunk(static_cast<uint32_t>(
                           ReadBigEndian(key.substr(key.size() - 4), 4)),
                       chunk);
        }
        return true;
      }));
  if (ever) return set;
  const auto time = static_cast<uint64_t>(condition.time);
  const uint64_t begin = ReadBigEndian(hour, 4) * 3'600'000;
  const auto wanted = [&](uint64_t seen) {
    switch (condition.op) {
      case Op::kLess:
        return seen < time;
      case Op::kLessEqual:
        return seen <= time;
      case Op::kGreater:
        return seen > time;
      default:
        return seen >= time;
    }
  };
  // From the hour's begin upwards, or from its end down to the moment.
  const auto visit = [&](std::string_view key, std::string_view number) {
    const uint64_t seen = ReadBigEndian(key, 8);
    if (seen < begin || seen >= begin + 3'600'000 || !wanted(seen))
      return false;
    if (seen > 0) set.Add(static_cast<uint32_t>(ReadBigEndian(number, 4)));
    return true;
  };
  if (below) {
    SHOAL_RETURN_IF_ERROR(view_->ScanRaw(
        kDevicesSeen, "",
        begin == 0 ? "" : BigEndian(begin - 1, 8) + std::string(16, '\xff'),
        visit));
  } else {
    SHOAL_RETURN_IF_ERROR(view_->ScanBackwardRaw(
        kDevicesSeen, "", BigEndian(begin + 3'600'000, 8), visit));
  }
  return set;
}

absl::StatusOr<DeviceSet> DeviceIndex::SelectCondition(
    const FilterCondition& condition, const DeviceSet& all) const {
  using Op = FilterCondition::Op;
  if (condition.field == FilterField::kLastSeen) return SelectSeen(condition);
  if (condition.field == FilterField::kName) {
    if (condition.op == Op::kEqual && condition.pattern.anything()) return all;
    const auto id = HexDecode(condition.pattern.pieces.front());
    if (condition.op == Op::kEqual && condition.pattern.exact() && id.ok()) {
      DeviceSet set;
      SHOAL_ASSIGN_OR_RETURN(const uint32_t number, NumberOf(*id));
      if (number != 0) set.Add(number);
      return set;
    }
    return SelectName(condition);
  }
  const std::string prefix = TermPrefix(condition);
  if (condition.op == Op::kEqual && condition.pattern.exact()) {
    return Find({prefix, condition.pattern.pieces.front()});
  }
  // Every value that devices have here, each judged once.
  const std::string literal = condition.op == Op::kEqual
                                  ? condition.pattern.pieces.front()
                                  : std::string();
  DeviceSet set;
  std::string last;
  bool matches = false;
  bool first = true;
  SHOAL_RETURN_IF_ERROR(view_->ScanRaw(
      kDeviceTerms, prefix + literal, "",
      [&](std::string_view key, std::string_view chunk) {
        const std::string_view value =
            key.substr(prefix.size(), key.size() - prefix.size() - 5);
        if (first || value != last) {
          last = std::string(value);
          matches = ValueMatches(condition, value);
          first = false;
        }
        if (matches) {
          set.AddChunk(static_cast<uint32_t>(
                           ReadBigEndian(key.substr(key.size() - 4), 4)),
                       chunk);
        }
        return true;
      }));
  return set;
}

absl::StatusOr<DeviceSet> DeviceIndex::SelectNode(const FilterNode& node,
                                                  const DeviceSet& all) const {
  switch (node.kind) {
    case FilterNode::Kind::kAll:
      return all;
    case FilterNode::Kind::kCondition:
      return SelectCondition(node.condition, all);
    case FilterNode::Kind::kNot: {
      SHOAL_ASSIGN_OR_RETURN(const DeviceSet inner,
                             SelectNode(node.children.front(), all));
      DeviceSet set = all;
      set -= inner;
      return set;
    }
    case FilterNode::Kind::kOr: {
      DeviceSet set;
      for (const FilterNode& child : node.children) {
        SHOAL_ASSIGN_OR_RETURN(const DeviceSet part, SelectNode(child, all));
        set |= part;
      }
      return set;
    }
    case FilterNode::Kind::kAnd:
      break;
  }
  // What is found by one look first; the rest only while somebody is left.
  std::vector<const FilterNode*> parts;
  for (const FilterNode& child : node.children) parts.push_back(&child);
  const auto cheap = [](const FilterNode* part) {
    return part->kind == FilterNode::Kind::kCondition &&
           part->condition.op == FilterCondition::Op::kEqual &&
           part->condition.pattern.exact() &&
           part->condition.field != FilterField::kLastSeen;
  };
  std::stable_partition(parts.begin(), parts.end(), cheap);
  DeviceSet set = all;
  for (const FilterNode* part : parts) {
    SHOAL_ASSIGN_OR_RETURN(const DeviceSet next, SelectNode(*part, all));
    set &= next;
    if (set.empty()) break;
  }
  return set;
}

absl::StatusOr<DeviceSet> DeviceIndex::Select(const FilterNode& filter) const {
  SHOAL_ASSIGN_OR_RETURN(const DeviceSet all, Find(AllDevicesTerm()));
  return SelectNode(filter, all);
}

}  // namespace shoal::server
