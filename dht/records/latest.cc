#include "dht/records/latest.h"

namespace shoal::dht {

Latest::Verdict Latest::Offer(const VerifiedRecord& record) {
  State& state =
      seen_[{record.body.place(), record.body.kind(), record.writer.id}];
  const uint64_t version = record.body.version();
  if (version > state.version) {
    state = {version, record.digest, false};
    return Verdict::kNewest;
  }
  if (version < state.version) return Verdict::kStale;
  if (record.digest == state.digest) return Verdict::kSame;
  state.conflicted = true;
  ++alarms_;
  return Verdict::kConflict;
}

const Latest::State* Latest::Find(const std::string& place, RecordKind kind,
                                  const std::string& writer_id) const {
  const auto it = seen_.find({place, kind, writer_id});
  return it == seen_.end() ? nullptr : &it->second;
}

bool Latest::Conflicted(const std::string& place, RecordKind kind,
                        const std::string& writer_id) const {
  const State* state = Find(place, kind, writer_id);
  return state && state->conflicted;
}

uint64_t Latest::Version(const std::string& place, RecordKind kind,
                         const std::string& writer_id) const {
  const State* state = Find(place, kind, writer_id);
  return state ? state->version : 0;
}

std::vector<Latest::Entry> Latest::Entries() const {
  std::vector<Entry> entries;
  entries.reserve(seen_.size());
  for (const auto& [key, state] : seen_)
    entries.push_back(
        {std::get<0>(key), static_cast<RecordKind>(std::get<1>(key)),
         std::get<2>(key), state.version, state.digest, state.conflicted});
  return entries;
}

void Latest::Restore(const Entry& entry) {
  State& state = seen_[{entry.place, entry.kind, entry.writer_id}];
  if (entry.version > state.version)
    state = {entry.version, entry.digest, entry.conflicted};
}

void Latest::Forget(const std::string& place) {
  auto it = seen_.lower_bound({place, 0, ""});
  while (it != seen_.end() && std::get<0>(it->first) == place)
    it = seen_.erase(it);
}

}  // namespace shoal::dht
