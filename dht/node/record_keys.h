// Byte layout of a record store's keys and values (record_store.h).
#ifndef SHOAL_DHT_NODE_RECORD_KEYS_H_
#define SHOAL_DHT_NODE_RECORD_KEYS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dht/node/record_store.h"

namespace shoal::dht::node {

inline constexpr char kRecordsFamily[] = "records";
inline constexpr char kArrivalFamily[] = "arrival";
inline constexpr char kByPlaceFamily[] = "by_place";
inline constexpr char kDueFamily[] = "due";
inline constexpr char kMetaFamily[] = "meta";

inline constexpr size_t kWriterKeySize = 32;
// place ‖ kind ‖ writer, what a version belongs to
inline constexpr size_t kSeriesSize = kPlaceSize + 1 + kWriterKeySize;
inline constexpr size_t kByPlaceKeySize = kSeriesSize + 8 + kDigestSize;
inline constexpr size_t kRecordHeaderSize = 16 + kByPlaceKeySize;

std::string BigEndian64(uint64_t value);

std::string SeriesKey(const VerifiedRecord& record);
std::string ByPlaceKey(const VerifiedRecord& record);
// Of a key in by_place.
uint64_t VersionOfKey(std::string_view by_place_key);
std::string_view WriterOfKey(std::string_view by_place_key);
std::string_view DigestOfKey(std::string_view by_place_key);

// `keep_until`: in seconds, as for RecordValue.
std::string ArrivalValue(const VerifiedRecord& record, int64_t keep_until);
struct Arrival {
  records::v1::RecordKind kind;
  int64_t expires;
  std::string_view digest;
};
std::optional<Arrival> ParseArrival(std::string_view value);

std::string RecordValue(uint64_t sequence, const VerifiedRecord& record,
                        int64_t keep_until);
struct StoredRecord {
  uint64_t sequence;
  int64_t expires;
  std::string_view by_place_key;
  std::string_view bytes;
};
std::optional<StoredRecord> ParseRecordValue(std::string_view value);

std::string DueKey(int64_t time, std::string_view digest);

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_RECORD_KEYS_H_
