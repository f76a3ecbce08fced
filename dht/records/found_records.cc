#include "dht/records/found_records.h"

#include <algorithm>

namespace shoal::dht {

void FoundRecords::Add(VerifiedRecord record) {
  const std::string key = record.writer.public_key;
  if (!by_digest_.emplace(record.digest, key).second) return;
  OfWriter& writer = writers_[key];
  writer.bytes += record.bytes.size();
  bytes_ += record.bytes.size();
  std::pair<uint64_t, std::string> place(record.body.version(), record.digest);
  writer.records.emplace(std::move(place), std::move(record));
  while (by_digest_.size() > max_records_) DropOne(/*by_bytes=*/false);
  while (bytes_ > max_bytes_) DropOne(/*by_bytes=*/true);
}

void FoundRecords::DropOne(bool by_bytes) {
  const auto most = std::max_element(
      writers_.begin(), writers_.end(), [&](const auto& a, const auto& b) {
        return by_bytes ? a.second.bytes < b.second.bytes
                        : a.second.records.size() < b.second.records.size();
      });
  OfWriter& writer = most->second;
  const auto lowest = writer.records.begin();
  bytes_ -= lowest->second.bytes.size();
  writer.bytes -= lowest->second.bytes.size();
  by_digest_.erase(lowest->second.digest);
  writer.records.erase(lowest);
  if (writer.records.empty()) writers_.erase(most);
}

std::vector<VerifiedRecord> FoundRecords::Take() {
  std::vector<VerifiedRecord> records;
  records.reserve(by_digest_.size());
  for (auto& [key, writer] : writers_)
    for (auto& [place, record] : writer.records)
      records.push_back(std::move(record));
  // The order of equal versions says nothing of their writers.
  std::sort(records.begin(), records.end(),
            [](const VerifiedRecord& a, const VerifiedRecord& b) {
              if (a.body.version() != b.body.version())
                return a.body.version() > b.body.version();
              return a.digest < b.digest;
            });
  writers_.clear();
  by_digest_.clear();
  bytes_ = 0;
  return records;
}

}  // namespace shoal::dht
