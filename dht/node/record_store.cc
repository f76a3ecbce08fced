#include "dht/node/record_store.h"

#include <algorithm>
#include <future>
#include <set>
#include <utility>

#include "common/bytes.h"
#include "common/status.h"
#include "dht/node/record_keys.h"
#include "dht/node/record_store_impl.h"

namespace shoal::dht::node {
namespace {

constexpr size_t kMaxReadBytes = 1u << 20;
constexpr size_t kMaxPlaceKeys = 8192;
constexpr size_t kMaxOfWriter = 64;

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
    case records::v1::RECORD_KIND_LOG_ENTRIES:
    case records::v1::RECORD_KIND_LOG_WITNESS:
    case records::v1::RECORD_KIND_PAIR_GRANT:
    case records::v1::RECORD_KIND_PAIR_REQUEST:
    case records::v1::RECORD_KIND_NODE_KEYS:
      return true;
    default:
      return false;
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
    std::string_view place, records::v1::RecordKind kind, size_t max,
    const Accept& accept) const {
  std::string prefix(place);
  prefix.push_back(static_cast<char>(kind));
  std::vector<std::pair<uint64_t, std::string>> found;
  // Keys sort by writer, then by version.
  std::string before;
  for (bool more = true; more && found.size() < kMaxPlaceKeys;) {
    more = false;
    std::string writer;
    size_t taken = 0;
    const auto visit = [&](std::string_view key, std::string_view) {
      if (WriterOfKey(key) != writer) {
        writer = WriterOfKey(key);
        taken = 0;
      }
      if (++taken > kMaxOfWriter) {
        before = prefix + writer;  // on to the next one
        more = true;
        return false;
      }
      found.emplace_back(VersionOfKey(key), std::string(DigestOfKey(key)));
      return found.size() < kMaxPlaceKeys;
    };
    SHOAL_RETURN_IF_ERROR(
        impl_->store->ScanBackward(kByPlaceFamily, before, prefix, visit));
  }
  std::stable_sort(
      found.begin(), found.end(),
      [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> out;
  for (const auto& [version, digest] : found) {
    if (out.size() >= max) break;
    SHOAL_ASSIGN_OR_RETURN(auto record, Get(digest));
    if (record.has_value() && (!accept || accept(*record)))
      out.push_back(std::move(*record));
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
        (kinds.empty() ||
         std::find(kinds.begin(), kinds.end(), arrival->kind) != kinds.end());
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
  SHOAL_RETURN_IF_ERROR(
      impl_->store->Scan(kArrivalFamily, BigEndian64(cursor + 1), "", visit));
  SHOAL_RETURN_IF_ERROR(failed);
  return looked_at;
}

bool RecordStore::WaitBeyond(uint64_t cursor, absl::Duration timeout) const {
  std::unique_lock lock(impl_->mutex);
  return impl_->arrived.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                                 [&] {
                                   return impl_->stopping ||
                                          impl_->last_sequence > cursor;
                                 }) &&
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
      if (!stored.has_value())
        return DataLoss("kv_corrupt", "a record's header");
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
