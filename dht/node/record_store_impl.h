// For record_store.cc (reading) and record_commit.cc (writing) only.
#ifndef SHOAL_DHT_NODE_RECORD_STORE_IMPL_H_
#define SHOAL_DHT_NODE_RECORD_STORE_IMPL_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/kv/store.h"
#include "dht/node/record_store.h"

namespace shoal::dht::node {

inline constexpr char kStoreIdKey[] = "store_id";
inline constexpr char kLastSequenceKey[] = "last_sequence";

std::string CredentialKey(std::string_view digest);

struct RecordStore::Impl {
  struct Pending {
    VerifiedRecord record;
    Source source = Source::kNetwork;
    std::function<void(absl::Status)> done;
    // Set: not a record to add but a question about record.digest.
    std::function<void(absl::StatusOr<absl::Time>)> confirm;
  };
  struct Usage {
    uint64_t records = 0;
    uint64_t bytes = 0;
  };
  // What a batch under construction adds, seen by the records after it.
  struct Staged {
    kv::WriteBatch batch;
    std::set<std::string> digests;
    std::map<std::string, std::pair<uint64_t, std::string>> newest;
    std::map<std::string, Usage> usage;
    Usage total;
    uint64_t sequence = 0;
  };

  Impl(const RecordStoreOptions& o, Clock& c) : options(o), clock(c) {}

  absl::Status Load();
  void Run();
  void Commit(std::vector<Pending> pending);
  absl::Status Stage(const Pending& pending, Staged& staged);
  absl::Status CheckQuota(const VerifiedRecord& record, Source source,
                          const Staged* staged) const;
  void Enqueue(Pending pending);
  absl::StatusOr<absl::Time> KeptUntil(const std::string& digest) const;
  absl::Status StageSeries(const Pending& pending, Staged& staged,
                           int64_t* due);
  const WriterQuota& QuotaOf(records::v1::WriterClass kind) const;
  int64_t NowSeconds() const { return absl::ToUnixSeconds(clock.WallNow()); }

  const RecordStoreOptions options;
  Clock& clock;
  std::unique_ptr<kv::Store> store;
  std::string store_id;

  // Held while the index changes: by the writing thread and by Sweep.
  std::mutex write_mutex;
  mutable std::mutex usage_mutex;
  std::unordered_map<std::string, Usage> usage;  // under usage_mutex
  Usage total;                                   // under usage_mutex

  mutable std::mutex mutex;
  std::condition_variable queued;
  mutable std::condition_variable arrived;
  std::deque<Pending> queue;   // under mutex
  bool stopping = false;       // under mutex
  uint64_t last_sequence = 0;  // under mutex
  std::atomic<uint64_t> refused{0};
  std::atomic<uint64_t> commits{0};
  std::thread thread;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_RECORD_STORE_IMPL_H_
