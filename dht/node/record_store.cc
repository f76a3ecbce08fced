#include "dht/node/record_store.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/kv/store.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/node/record_keys.h"
#include "dht/records/record.h"

namespace shoal::dht::node {
namespace {

constexpr size_t kMaxBatchRecords = 512;
constexpr size_t kMaxBatchBytes = 8u << 20;
constexpr size_t kMaxReadBytes = 1u << 20;
constexpr size_t kMaxPlaceKeys = 8192;
constexpr char kStoreIdKey[] = "store_id";
constexpr char kLastSequenceKey[] = "last_sequence";

std::string CredentialKey(std::string_view digest) {
  return "credential/" + std::string(digest);
}
std::string CursorKey(std::string_view node) {
  return "cursor/" + std::string(node);
}

}  // namespace

bool OnlyNewestCounts(records::v1::RecordKind kind) {
  switch (kind) {
    case records::v1::RECORD_KIND_HEAD:
    case records::v1::RECORD_KIND_NODE_DIRECTORY:
    case records::v1::RECORD_KIND_ASSIGNMENT:
    case records::v1::RECORD_KIND_DEVICE_REPORT:
    case records::v1::RECORD_KIND_PROVIDER:
      return true;
    default:
      return false;
  }
}

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
  std::deque<Pending> queue;      // under mutex
  bool stopping = false;          // under mutex
  uint64_t last_sequence = 0;     // under mutex
  std::atomic<uint64_t> refused{0};
  std::atomic<uint64_t> commits{0};
  std::thread thread;
};

const WriterQuota& RecordStore::Impl::QuotaOf(
    records::v1::WriterClass kind) const {
  switch (kind) {
    case records::v1::WRITER_CLASS_NODE:
      return options.node;
    case records::v1::WRITER_CLASS_CLAIM:
      return options.claim;
    case records::v1::WRITER_CLASS_DIRECTOR:
      return options.director;
    case records::v1::WRITER_CLASS_OPERATOR:
      return options.oper;
    default:
      return options.device;
  }
}

absl::Status RecordStore::Impl::Load() {
  SHOAL_ASSIGN_OR_RETURN(auto id, store->Get(kMetaFamily, kStoreIdKey));
  if (id.has_value()) {
    store_id = *id;
  } else {
    store_id = crypto::RandomBytes(16);
    kv::WriteBatch batch;
    batch.Put(kMetaFamily, kStoreIdKey, store_id);
    SHOAL_RETURN_IF_ERROR(store->Write(batch, /*sync=*/true));
  }
  SHOAL_ASSIGN_OR_RETURN(auto last, store->Get(kMetaFamily, kLastSequenceKey));
  if (last.has_value()) {
    if (last->size() != 8) return DataLoss("kv_corrupt", "last_sequence");
    last_sequence = ReadBigEndian(*last, 8);
  }
  bool whole = true;
  SHOAL_RETURN_IF_ERROR(store->Scan(
      kByPlaceFamily, "", "", [&](std::string_view key, std::string_view value) {
        if (key.size() != kByPlaceKeySize || value.size() != 8) {
          whole = false;
          return false;
        }
        const uint64_t size = ReadBigEndian(value, 8);
        Usage& writer = usage[std::string(WriterOfKey(key))];
        ++writer.records;
        writer.bytes += size;
        ++total.records;
        total.bytes += size;
        return true;
      }));
  if (!whole) return DataLoss("kv_corrupt", "a key of the place index");
  return absl::OkStatus();
}

void RecordStore::Impl::Run() {
  while (true) {
    std::vector<Pending> pending;
    {
      std::unique_lock lock(mutex);
      queued.wait(lock, [&] { return stopping || !queue.empty(); });
      if (queue.empty()) return;
      size_t taken = 0;
      while (!queue.empty() && pending.size() < kMaxBatchRecords &&
             taken < kMaxBatchBytes) {
        taken += queue.front().record.bytes.size();
        pending.push_back(std::move(queue.front()));
        queue.pop_front();
      }
    }
    Commit(std::move(pending));
  }
}

absl::Status RecordStore::Impl::CheckQuota(const VerifiedRecord& record,
                                           Source source,
                                           const Staged* staged) const {
  const uint64_t size = record.bytes.size();
  Usage used;
  Usage all;
  {
    std::lock_guard lock(usage_mutex);
    all = total;
    if (const auto it = usage.find(record.writer.public_key);
        it != usage.end()) {
      used = it->second;
    }
  }
  if (staged != nullptr) {
    all.bytes += staged->total.bytes;
    if (const auto it = staged->usage.find(record.writer.public_key);
        it != staged->usage.end()) {
      used.records += it->second.records;
      used.bytes += it->second.bytes;
    }
  }
  if (all.bytes + size > options.max_bytes) {
    return ResourceExhausted(
        "store_full", fmt::format("this node keeps {} at most",
                                  HumanBytes(options.max_bytes)));
  }
  const WriterQuota& quota = QuotaOf(record.writer.kind);
  const uint64_t factor = source == Source::kRepair ? 2 : 1;
  if (used.records + 1 > factor * quota.records ||
      used.bytes + size > factor * quota.bytes) {
    return ResourceExhausted(
        "quota_exceeded",
        fmt::format("writer {} has {} records, {} here",
                    HexEncode(record.writer.public_key), used.records,
                    HumanBytes(used.bytes)));
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> RecordStore::Impl::KeptUntil(
    const std::string& digest) const {
  SHOAL_ASSIGN_OR_RETURN(auto value, store->Get(kRecordsFamily, digest));
  const auto stored = value.has_value()
                          ? ParseRecordValue(*value)
                          : std::optional<StoredRecord>();
  if (!stored.has_value() || stored->expires <= NowSeconds()) {
    return NotFound("not_stored", "this record is not on this disk");
  }
  return absl::FromUnixSeconds(stored->expires);
}

void RecordStore::Impl::Enqueue(Pending pending) {
  {
    std::lock_guard lock(mutex);
    if (!stopping && queue.size() < options.max_queue) {
      queue.push_back(std::move(pending));
      queued.notify_one();
      return;
    }
  }
  ++refused;
  const absl::Status busy =
      ResourceExhausted("busy", "too many records are waiting");
  if (pending.confirm) {
    pending.confirm(busy);
  } else if (pending.done) {
    pending.done(busy);
  }
}

// Marks what this version supersedes, and this version itself when it comes
// late, for deletion after the grace time.
absl::Status RecordStore::Impl::StageSeries(const Pending& pending,
                                            Staged& staged, int64_t* due) {
  const VerifiedRecord& record = pending.record;
  const std::string series = SeriesKey(record);
  std::optional<std::pair<uint64_t, std::string>> newest;
  if (const auto it = staged.newest.find(series); it != staged.newest.end()) {
    newest = it->second;
  } else {
    SHOAL_RETURN_IF_ERROR(store->ScanBackward(
        kByPlaceFamily, "", series,
        [&](std::string_view key, std::string_view) {
          newest.emplace(VersionOfKey(key), std::string(DigestOfKey(key)));
          return false;
        }));
  }
  const uint64_t version = record.body.version();
  const int64_t grace =
      NowSeconds() + absl::ToInt64Seconds(options.superseded_grace);
  if (newest.has_value() && newest->first > version) {
    if (pending.source == Source::kRepair) {
      return FailedPrecondition("superseded", "a newer version is here");
    }
    *due = std::min(*due, grace);
  } else {
    if (newest.has_value() && newest->first < version) {
      staged.batch.Put(kDueFamily, DueKey(grace, newest->second), "");
    } else if (newest.has_value()) {
      LogWarn("equal_versions", {{"place", HexEncode(record.body.place())},
                                 {"writer", HexEncode(record.writer.public_key)},
                                 {"version", version}});
    }
    staged.newest[series] = {version, record.digest};
  }
  return absl::OkStatus();
}

absl::Status RecordStore::Impl::Stage(const Pending& pending, Staged& staged) {
  const VerifiedRecord& record = pending.record;
  if (record.digest.size() != kDigestSize ||
      record.body.place().size() != kPlaceSize ||
      record.writer.public_key.size() != kWriterKeySize || record.body.kind() <= 0 ||
      record.body.kind() > 255) {
    return InvalidArgument("bad_record", "digest, place, kind or writer key");
  }
  if (record.body.expires() <= NowSeconds()) {
    return FailedPrecondition("expired_record", "its time is over");
  }
  if (staged.digests.contains(record.digest)) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(auto known, store->Get(kRecordsFamily, record.digest));
  if (known.has_value()) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(CheckQuota(record, pending.source, &staged));
  int64_t due = record.body.expires();
  if (OnlyNewestCounts(record.body.kind())) {
    SHOAL_RETURN_IF_ERROR(StageSeries(pending, staged, &due));
  }
  const uint64_t sequence = ++staged.sequence;
  kv::WriteBatch& batch = staged.batch;
  batch.Put(kRecordsFamily, record.digest, RecordValue(sequence, record));
  batch.Put(kArrivalFamily, BigEndian64(sequence), ArrivalValue(record));
  batch.Put(kByPlaceFamily, ByPlaceKey(record),
            BigEndian64(record.bytes.size()));
  batch.Put(kDueFamily, DueKey(due, record.digest), "");
  if (record.body.has_credential()) {
    batch.Put(kMetaFamily,
              CredentialKey(CredentialDigest(record.body.credential())),
              record.body.credential().SerializeAsString());
  }
  staged.digests.insert(record.digest);
  Usage& writer = staged.usage[record.writer.public_key];
  ++writer.records;
  writer.bytes += record.bytes.size();
  ++staged.total.records;
  staged.total.bytes += record.bytes.size();
  return absl::OkStatus();
}

void RecordStore::Impl::Commit(std::vector<Pending> pending) {
  std::vector<absl::Status> results;
  results.reserve(pending.size());
  {
    std::lock_guard write_lock(write_mutex);
    Staged staged;
    {
      std::lock_guard lock(mutex);
      staged.sequence = last_sequence;
    }
    for (const Pending& one : pending) {
      results.push_back(one.confirm ? absl::OkStatus() : Stage(one, staged));
      if (!results.back().ok()) ++refused;
    }
    if (!staged.digests.empty()) {
      staged.batch.Put(kMetaFamily, kLastSequenceKey,
                       BigEndian64(staged.sequence));
      const absl::Status written = store->Write(staged.batch, /*sync=*/true);
      if (!written.ok()) {
        LogError("store_write", {{"error", written}});
        // Also those that stand on disk already: this answers too little,
        // never too much.
        for (absl::Status& result : results) {
          if (result.ok()) result = written;
        }
      } else {
        ++commits;
        {
          std::lock_guard lock(usage_mutex);
          for (const auto& [writer, added] : staged.usage) {
            Usage& used = usage[writer];
            used.records += added.records;
            used.bytes += added.bytes;
          }
          total.records += staged.total.records;
          total.bytes += staged.total.bytes;
        }
        std::lock_guard lock(mutex);
        last_sequence = staged.sequence;
      }
    }
  }
  arrived.notify_all();
  for (size_t i = 0; i < pending.size(); ++i) {
    if (pending[i].confirm) {
      pending[i].confirm(KeptUntil(pending[i].record.digest));
    } else if (pending[i].done) {
      pending[i].done(std::move(results[i]));
    }
  }
}

RecordStore::RecordStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

RecordStore::~RecordStore() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->queued.notify_all();
  impl_->arrived.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
}

absl::StatusOr<std::unique_ptr<RecordStore>> RecordStore::Open(
    const std::string& path, const RecordStoreOptions& options, Clock& clock) {
  auto impl = std::make_unique<Impl>(options, clock);
  kv::StoreOptions store_options;
  store_options.column_families = {kRecordsFamily, kArrivalFamily,
                                   kByPlaceFamily, kDueFamily, kMetaFamily};
  store_options.in_memory = options.in_memory;
  SHOAL_ASSIGN_OR_RETURN(impl->store, kv::Store::Open(path, store_options));
  SHOAL_RETURN_IF_ERROR(impl->Load());
  Impl* raw = impl.get();
  auto store = std::unique_ptr<RecordStore>(new RecordStore(std::move(impl)));
  raw->thread = std::thread([raw] { raw->Run(); });
  return store;
}

void RecordStore::Add(VerifiedRecord record, Source source,
                      std::function<void(absl::Status)> done) {
  impl_->Enqueue({std::move(record), source, std::move(done), nullptr});
}

absl::Status RecordStore::MayAdd(const VerifiedRecord& record) const {
  return impl_->CheckQuota(record, Source::kNetwork, nullptr);
}

void RecordStore::Confirm(
    std::string digest, std::function<void(absl::StatusOr<absl::Time>)> reply) {
  VerifiedRecord question;
  question.digest = std::move(digest);
  impl_->Enqueue(
      {std::move(question), Source::kNetwork, nullptr, std::move(reply)});
}

absl::Status RecordStore::AddBlocking(VerifiedRecord record, Source source) {
  auto result = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> future = result->get_future();
  Add(std::move(record), source,
      [result](absl::Status status) { result->set_value(std::move(status)); });
  return future.get();
}

absl::StatusOr<std::optional<std::string>> RecordStore::Get(
    std::string_view digest) const {
  SHOAL_ASSIGN_OR_RETURN(auto value, impl_->store->Get(kRecordsFamily, digest));
  if (!value.has_value()) return std::optional<std::string>();
  const auto stored = ParseRecordValue(*value);
  if (!stored.has_value()) return DataLoss("kv_corrupt", "a record's header");
  if (stored->expires <= impl_->NowSeconds()) {
    return std::optional<std::string>();
  }
  return std::optional<std::string>(std::string(stored->bytes));
}

bool RecordStore::Has(std::string_view digest) const {
  const auto record = Get(digest);
  return record.ok() && record->has_value();
}

absl::StatusOr<std::vector<std::string>> RecordStore::AtPlace(
    std::string_view place, records::v1::RecordKind kind, size_t max) const {
  std::string prefix(place);
  prefix.push_back(static_cast<char>(kind));
  std::vector<std::pair<uint64_t, std::string>> found;
  SHOAL_RETURN_IF_ERROR(impl_->store->Scan(
      kByPlaceFamily, "", prefix, [&](std::string_view key, std::string_view) {
        found.emplace_back(VersionOfKey(key), std::string(DigestOfKey(key)));
        return found.size() < kMaxPlaceKeys;
      }));
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> out;
  for (const auto& [version, digest] : found) {
    if (out.size() >= max) break;
    SHOAL_ASSIGN_OR_RETURN(auto record, Get(digest));
    if (record.has_value()) out.push_back(std::move(*record));
  }
  return out;
}

absl::StatusOr<uint64_t> RecordStore::Read(
    uint64_t cursor, const std::vector<records::v1::RecordKind>& kinds,
    size_t max, std::vector<Entry>* entries) const {
  const int64_t now = impl_->NowSeconds();
  uint64_t looked_at = cursor;
  size_t taken = 0;
  absl::Status failed = absl::OkStatus();
  const auto visit = [&](std::string_view key, std::string_view value) {
    const uint64_t sequence = ReadBigEndian(key, 8);
    looked_at = sequence;
    const auto arrival = ParseArrival(value);
    if (!arrival.has_value()) {
      failed = DataLoss("kv_corrupt", "an entry of the arrival index");
      return false;
    }
    const bool wanted =
        arrival->expires > now &&
        (kinds.empty() || std::find(kinds.begin(), kinds.end(),
                                    arrival->kind) != kinds.end());
    if (wanted) {
      auto record = Get(arrival->digest);
      if (!record.ok()) {
        failed = record.status();
        return false;
      }
      if (record->has_value()) {
        taken += (*record)->size();
        entries->push_back({sequence, std::move(**record)});
      }
    }
    return entries->size() < max && taken < kMaxReadBytes;
  };
  SHOAL_RETURN_IF_ERROR(impl_->store->Scan(
      kArrivalFamily, BigEndian64(cursor + 1), "", visit));
  SHOAL_RETURN_IF_ERROR(failed);
  return looked_at;
}

bool RecordStore::WaitBeyond(uint64_t cursor, absl::Duration timeout) const {
  std::unique_lock lock(impl_->mutex);
  return impl_->arrived.wait_for(
             lock, absl::ToChronoMilliseconds(timeout),
             [&] { return impl_->stopping || impl_->last_sequence > cursor; }) &&
         impl_->last_sequence > cursor;
}

absl::StatusOr<uint64_t> RecordStore::Sweep() {
  uint64_t deleted = 0;
  while (true) {
    std::lock_guard write_lock(impl_->write_mutex);
    const uint64_t now = static_cast<uint64_t>(impl_->NowSeconds());
    std::vector<std::string> due;
    SHOAL_RETURN_IF_ERROR(impl_->store->Scan(
        kDueFamily, "", "", [&](std::string_view key, std::string_view) {
          if (ReadBigEndian(key, 8) > now) return false;
          due.emplace_back(key);
          return due.size() < 1000;
        }));
    if (due.empty()) return deleted;
    kv::WriteBatch batch;
    std::set<std::string> gone;
    for (const std::string& key : due) {
      batch.Delete(kDueFamily, key);
      const std::string digest = key.substr(8);
      if (!gone.insert(digest).second) continue;
      SHOAL_ASSIGN_OR_RETURN(auto value,
                             impl_->store->Get(kRecordsFamily, digest));
      if (!value.has_value()) continue;
      const auto stored = ParseRecordValue(*value);
      if (!stored.has_value()) return DataLoss("kv_corrupt", "a record's header");
      batch.Delete(kRecordsFamily, digest);
      batch.Delete(kArrivalFamily, BigEndian64(stored->sequence));
      batch.Delete(kByPlaceFamily, stored->by_place_key);
      std::lock_guard usage_lock(impl_->usage_mutex);
      auto& used = impl_->usage[std::string(WriterOfKey(stored->by_place_key))];
      --used.records;
      used.bytes -= stored->bytes.size();
      --impl_->total.records;
      impl_->total.bytes -= stored->bytes.size();
      ++deleted;
    }
    // Not synced: after a crash of the machine they are deleted once more.
    SHOAL_RETURN_IF_ERROR(impl_->store->Write(batch, /*sync=*/false));
    std::lock_guard usage_lock(impl_->usage_mutex);
    std::erase_if(impl_->usage,
                  [](const auto& entry) { return entry.second.records == 0; });
  }
}

const std::string& RecordStore::store_id() const { return impl_->store_id; }

absl::Status RecordStore::PutCredential(
    std::string_view digest, const records::v1::Credential& credential) {
  kv::WriteBatch batch;
  batch.Put(kMetaFamily, CredentialKey(digest), credential.SerializeAsString());
  return impl_->store->Write(batch, /*sync=*/false);
}

absl::StatusOr<std::optional<records::v1::Credential>>
RecordStore::GetCredential(std::string_view digest) const {
  SHOAL_ASSIGN_OR_RETURN(auto bytes,
                         impl_->store->Get(kMetaFamily, CredentialKey(digest)));
  if (!bytes.has_value()) return std::optional<records::v1::Credential>();
  records::v1::Credential credential;
  if (!credential.ParseFromString(*bytes)) {
    return DataLoss("kv_corrupt", "a stored credential");
  }
  return std::optional<records::v1::Credential>(std::move(credential));
}

absl::StatusOr<RecordStore::PeerCursor> RecordStore::GetPeerCursor(
    std::string_view node) const {
  SHOAL_ASSIGN_OR_RETURN(auto bytes,
                         impl_->store->Get(kMetaFamily, CursorKey(node)));
  if (!bytes.has_value()) return PeerCursor{};
  if (bytes->size() < 8) return DataLoss("kv_corrupt", "a peer's cursor");
  return PeerCursor{bytes->substr(8), ReadBigEndian(*bytes, 8)};
}

absl::Status RecordStore::PutPeerCursor(std::string_view node,
                                        const PeerCursor& cursor) {
  kv::WriteBatch batch;
  batch.Put(kMetaFamily, CursorKey(node),
            BigEndian64(cursor.cursor) + cursor.store_id);
  return impl_->store->Write(batch, /*sync=*/false);
}

absl::Status RecordStore::ForgetPeerCursors() {
  kv::WriteBatch batch;
  SHOAL_RETURN_IF_ERROR(impl_->store->Scan(
      kMetaFamily, "", "cursor/", [&](std::string_view key, std::string_view) {
        batch.Delete(kMetaFamily, key);
        return true;
      }));
  if (batch.empty()) return absl::OkStatus();
  return impl_->store->Write(batch, /*sync=*/false);
}

RecordStoreStats RecordStore::Stats() const {
  RecordStoreStats stats;
  {
    std::lock_guard lock(impl_->usage_mutex);
    stats.records = impl_->total.records;
    stats.bytes = impl_->total.bytes;
  }
  stats.refused = impl_->refused;
  stats.commits = impl_->commits;
  std::lock_guard lock(impl_->mutex);
  stats.last_sequence = impl_->last_sequence;
  return stats;
}

}  // namespace shoal::dht::node
