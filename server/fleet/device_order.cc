// The index's part that puts a set of devices into an order, a page at a time.
#include <algorithm>

#include "common/bytes.h"
#include "server/fleet/device_index.h"

namespace shoal::server {
namespace {

// Up to so many devices are looked up and sorted (some 2 µs each); of more, a
// scan in the wanted order soon meets enough.
constexpr size_t kFew = 2000;

uint32_t Number(std::string_view bytes) {
  return static_cast<uint32_t>(ReadBigEndian(bytes, 4));
}

absl::StatusOr<DeviceIndex::Entry> ParseEntry(std::string_view bytes) {
  if (bytes.size() != 24) {
    return DataLoss("bad_row", "the index of devices is damaged");
  }
  return DeviceIndex::Entry{
      std::string(bytes.substr(0, 16)),
      static_cast<int64_t>(ReadBigEndian(bytes.substr(16), 8))};
}

}  // namespace

absl::StatusOr<DeviceIndex::Entry> DeviceIndex::EntryOf(uint32_t number) const {
  std::string key;
  AppendBigEndian(key, number, 4);
  SHOAL_ASSIGN_OR_RETURN(const auto value, view_->GetRaw(kDeviceNumbers, key));
  return ParseEntry(value.value_or(""));
}

absl::StatusOr<uint32_t> DeviceIndex::NumberOf(std::string_view id) const {
  SHOAL_ASSIGN_OR_RETURN(const auto value, view_->GetRaw(kDeviceNames, id));
  return value && value->size() == 4 ? Number(*value) : 0;
}

std::string DeviceIndex::OrderKey(const Entry& entry, Order order) {
  if (order == Order::kByName) return entry.id;
  std::string key;
  AppendBigEndian(key, static_cast<uint64_t>(entry.last_seen), 8);
  return key + entry.id;
}

absl::StatusOr<std::vector<DeviceIndex::Entry>> DeviceIndex::Sorted(
    const DeviceSet& set, Order order, const std::string& after,
    size_t limit) const {
  std::vector<std::pair<std::string, Entry>> entries;
  absl::Status status;
  set.ForEach([&](uint32_t number) {
    auto entry = EntryOf(number);
    if (!entry.ok()) {
      status = entry.status();
      return false;
    }
    std::string key = OrderKey(*entry, order);
    const bool behind =
        after.empty() ||
        (order == Order::kBySeenDescending ? key < after : key > after);
    if (behind) entries.emplace_back(std::move(key), *std::move(entry));
    return true;
  });
  SHOAL_RETURN_IF_ERROR(status);
  std::sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) {
    return order == Order::kBySeenDescending ? a.first > b.first
                                           : a.first < b.first;
  });
  std::vector<Entry> page;
  for (auto& [key, entry] : entries) {
    if (page.size() == limit) break;
    page.push_back(std::move(entry));
  }
  return page;
}

absl::StatusOr<std::vector<DeviceIndex::Entry>> DeviceIndex::Scanned(
    const DeviceSet& set, Order order, const std::string& after,
    size_t limit) const {
  std::vector<Entry> page;
  const auto visit = [&](std::string_view key, std::string_view number) {
    if (!set.Contains(Number(number))) return true;
    Entry entry;
    if (order != Order::kByName) {
      entry.last_seen = static_cast<int64_t>(ReadBigEndian(key, 8));
      key.remove_prefix(8);
    }
    entry.id = std::string(key);
    page.push_back(std::move(entry));
    return page.size() < limit;
  };
  const auto table = order == Order::kByName ? kDeviceNames : kDevicesSeen;
  SHOAL_RETURN_IF_ERROR(order == Order::kBySeenDescending
                            ? view_->ScanBackwardRaw(table, "", after, visit)
                            : view_->ScanRaw(table, "", after, visit));
  return page;
}

absl::StatusOr<std::vector<DeviceIndex::Entry>> DeviceIndex::List(
    const DeviceSet& set, Order order, const std::string& after,
    size_t limit) const {
  if (limit == 0) return std::vector<Entry>();
  return set.Count() <= kFew ? Sorted(set, order, after, limit)
                             : Scanned(set, order, after, limit);
}

}  // namespace shoal::server
