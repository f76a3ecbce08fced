// What a look-up found, bounded: whoever has records without end at a place,
// and whatever nodes hand out, fills no memory and hides no other writer's.
#ifndef SHOAL_DHT_RECORDS_FOUND_RECORDS_H_
#define SHOAL_DHT_RECORDS_FOUND_RECORDS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "dht/records/record.h"

namespace shoal::dht {

// Give it verified records only. Not thread-safe.
class FoundRecords {
 public:
  // A place holds some hundreds of records; a crowded one is read from the
  // nodes' streams (network.h).
  static constexpr size_t kMaxRecords = 2048;
  static constexpr size_t kMaxBytes = 8u << 20;

  explicit FoundRecords(size_t max_records = kMaxRecords,
                        size_t max_bytes = kMaxBytes)
      : max_records_(max_records), max_bytes_(max_bytes) {}

  // Each record once. Beyond a bound the writer (public key) with the most of
  // what it bounds loses its lowest version: a reader takes the highest.
  void Add(VerifiedRecord record);
  bool Contains(const std::string& digest) const {
    return by_digest_.contains(digest);
  }
  size_t size() const { return by_digest_.size(); }
  size_t bytes() const { return bytes_; }
  // Highest version first; empty afterwards.
  std::vector<VerifiedRecord> Take();

 private:
  struct OfWriter {
    size_t bytes = 0;
    // Version and digest.
    std::map<std::pair<uint64_t, std::string>, VerifiedRecord> records;
  };
  void DropOne(bool by_bytes);

  const size_t max_records_;
  const size_t max_bytes_;
  size_t bytes_ = 0;
  std::map<std::string, OfWriter> writers_;       // by public key
  std::map<std::string, std::string> by_digest_;  // → its writer's key
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_FOUND_RECORDS_H_
