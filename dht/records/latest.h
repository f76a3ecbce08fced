// A reader's memory of the highest version it has ever seen (T41, T28).
#ifndef SHOAL_DHT_RECORDS_LATEST_H_
#define SHOAL_DHT_RECORDS_LATEST_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "dht/records/record.h"

namespace shoal::dht {

// Per (place, kind, writer id) it keeps the highest version and, of two
// records with equal version, the first. Not thread-safe. Give it verified
// records only.
class Latest {
 public:
  enum class Verdict {
    kNewest,    // higher than all before: take it
    kSame,      // the record that is already the newest
    kStale,     // below the highest version seen: ignore it
    kConflict,  // equal version, other bytes: ignore it and raise an alarm
  };

  // One remembered version, to be kept across restarts by the caller.
  struct Entry {
    std::string place;
    RecordKind kind = records::v1::RECORD_KIND_UNSPECIFIED;
    std::string writer_id;
    uint64_t version = 0;
    std::string digest;
    bool conflicted = false;
  };

  Verdict Offer(const VerifiedRecord& record);

  // True once two different records with one version were offered; stays so
  // for that (place, kind, writer) until a higher version comes.
  bool Conflicted(const std::string& place, RecordKind kind,
                  const std::string& writer_id) const;
  // 0 when nothing was seen.
  uint64_t Version(const std::string& place, RecordKind kind,
                   const std::string& writer_id) const;
  // Conflicts ever seen by this object.
  uint64_t alarms() const { return alarms_; }

  std::vector<Entry> Entries() const;
  // Keeps the higher of this and what is already known.
  void Restore(const Entry& entry);
  void Forget(const std::string& place);

 private:
  using Key = std::tuple<std::string, int, std::string>;
  struct State {
    uint64_t version = 0;
    std::string digest;
    bool conflicted = false;
  };
  const State* Find(const std::string& place, RecordKind kind,
                    const std::string& writer_id) const;

  std::map<Key, State> seen_;
  uint64_t alarms_ = 0;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_LATEST_H_
