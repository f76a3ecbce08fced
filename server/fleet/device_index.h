// The index over devices: written in the change that writes the device
// (server/fleet/device_changes.h), read by filters. For each term the numbers
// of its devices, as chunks (server/fleet/device_set.h); so every filter is a
// few short scans and operations on bits, however many devices there are and
// however few match.
//
//   device_term    TERM-KEY \0 CHUNK (4 bytes)      chunk
//   device_number  NUMBER (4 bytes)                 id (16), last seen (8)
//   device_name    id (16)                          NUMBER
//   device_seen    last seen (8), id (16)           NUMBER
#ifndef SHOAL_SERVER_FLEET_DEVICE_INDEX_H_
#define SHOAL_SERVER_FLEET_DEVICE_INDEX_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/fleet/device_set.h"
#include "server/fleet/device_terms.h"
#include "server/store/store.h"

namespace shoal::server {

// Puts the difference between `old` (null: a new device) and `next` (null: it
// is deleted) into `tx`. Both have the same id and number.
absl::Status WriteDeviceIndex(Transaction& tx, const store::DeviceRow* old,
                              const store::DeviceRow* next);

// Reads of one moment. Thread-safe; ends before the store.
class DeviceIndex {
 public:
  explicit DeviceIndex(const Store& store) : view_(store.View()) {}

  // All devices that `filter` selects.
  absl::StatusOr<DeviceSet> Select(const FilterNode& filter) const;
  absl::StatusOr<DeviceSet> Find(const DeviceTerm& term) const;
  // Every value behind `prefix` (of a DeviceTerm) with its devices: for fields
  // with few values.
  absl::StatusOr<std::map<std::string, DeviceSet>> Values(
      const std::string& prefix) const;

  struct Entry {
    std::string id;  // 16 bytes
    int64_t last_seen = 0;
  };
  absl::StatusOr<Entry> EntryOf(uint32_t number) const;
  // Device id, 16 bytes → its number; 0: no such device.
  absl::StatusOr<uint32_t> NumberOf(std::string_view id) const;

  enum class Order { kByName, kBySeen, kBySeenDescending };
  // Up to `limit` devices of `set` in this order, from the first behind
  // `after` on (a place that OrderKey() made; empty: the first).
  absl::StatusOr<std::vector<Entry>> List(const DeviceSet& set, Order order,
                                          const std::string& after,
                                          size_t limit) const;
  static std::string OrderKey(const Entry& entry, Order order);

  const StoreView& view() const { return *view_; }

 private:
  absl::StatusOr<DeviceSet> SelectCondition(const FilterCondition& condition,
                                            const DeviceSet& all) const;
  absl::StatusOr<DeviceSet> SelectName(const FilterCondition& condition) const;
  absl::StatusOr<DeviceSet> SelectSeen(const FilterCondition& condition) const;
  absl::StatusOr<DeviceSet> SelectNode(const FilterNode& node,
                                       const DeviceSet& all) const;
  absl::StatusOr<std::vector<Entry>> Sorted(const DeviceSet& set, Order order,
                                            const std::string& after,
                                            size_t limit) const;
  absl::StatusOr<std::vector<Entry>> Scanned(const DeviceSet& set, Order order,
                                             const std::string& after,
                                             size_t limit) const;
  std::unique_ptr<StoreView> view_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_DEVICE_INDEX_H_
