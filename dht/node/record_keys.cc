#include "dht/node/record_keys.h"

#include "common/bytes.h"

namespace shoal::dht::node {

std::string BigEndian64(uint64_t value) {
  std::string out;
  AppendBigEndian(out, value, 8);
  return out;
}

std::string SeriesKey(const VerifiedRecord& record) {
  std::string key = record.body.place();
  key.push_back(static_cast<char>(record.body.kind()));
  key += record.writer.public_key;
  return key;
}

std::string ByPlaceKey(const VerifiedRecord& record) {
  std::string key = SeriesKey(record);
  AppendBigEndian(key, record.body.version(), 8);
  key += record.digest;
  return key;
}

uint64_t VersionOfKey(std::string_view by_place_key) {
  return ReadBigEndian(by_place_key.substr(kSeriesSize), 8);
}

std::string_view WriterOfKey(std::string_view by_place_key) {
  return by_place_key.substr(kPlaceSize + 1, kWriterKeySize);
}

std::string_view DigestOfKey(std::string_view by_place_key) {
  return by_place_key.substr(kSeriesSize + 8);
}

std::string ArrivalValue(const VerifiedRecord& record, int64_t keep_until) {
  std::string value(1, static_cast<char>(record.body.kind()));
  AppendBigEndian(value, static_cast<uint64_t>(keep_until), 8);
  value += record.digest;
  return value;
}

std::optional<Arrival> ParseArrival(std::string_view value) {
  if (value.size() != 9 + kDigestSize) return std::nullopt;
  return Arrival{
      static_cast<records::v1::RecordKind>(static_cast<uint8_t>(value[0])),
      static_cast<int64_t>(ReadBigEndian(value.substr(1), 8)), value.substr(9)};
}

std::string RecordValue(uint64_t sequence, const VerifiedRecord& record,
                        int64_t keep_until) {
  std::string value = BigEndian64(sequence);
  AppendBigEndian(value, static_cast<uint64_t>(keep_until), 8);
  value += ByPlaceKey(record);
  value += record.bytes;
  return value;
}

std::optional<StoredRecord> ParseRecordValue(std::string_view value) {
  if (value.size() < kRecordHeaderSize) return std::nullopt;
  return StoredRecord{ReadBigEndian(value, 8),
                      static_cast<int64_t>(ReadBigEndian(value.substr(8), 8)),
                      value.substr(16, kByPlaceKeySize),
                      value.substr(kRecordHeaderSize)};
}

std::string DueKey(int64_t time, std::string_view digest) {
  std::string key = BigEndian64(static_cast<uint64_t>(time));
  key += digest;
  return key;
}

}  // namespace shoal::dht::node
