// The writing side of a record store: one thread, one batch, one sync.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/node/record_keys.h"
#include "dht/node/record_store_impl.h"
#include "dht/records/record.h"

namespace shoal::dht::node {
namespace {

constexpr size_t kMaxBatchRecords = 512;
constexpr size_t kMaxBatchBytes = 8u << 20;
// How wrong a writer's clock may be before its records are left unrepaired.
constexpr absl::Duration kClockSlack = absl::Hours(24);

}  // namespace

std::string CredentialKey(std::string_view digest) {
  return "credential/" + std::string(digest);
}

const WriterQuota& RecordStore::Impl::QuotaOf(
    records::v1::WriterClass kind) const {
  switch (kind) {
    case records::v1::WRITER_CLASS_NODE:
      return options.node;
    case records::v1::WRITER_CLASS_CLAIM:
      return options.claim;
    case records::v1::WRITER_CLASS_APPLICANT:
    case records::v1::WRITER_CLASS_FACTORY:
    case records::v1::WRITER_CLASS_DOOR:
      return options.applicant;
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
  SHOAL_RETURN_IF_ERROR(
      store->Scan(kByPlaceFamily, "", "",
                  [&](std::string_view key, std::string_view value) {
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
    return ResourceExhausted("store_full",
                             fmt::format("this node keeps {} at most",
                                         HumanBytes(options.max_bytes)));
  }
  const WriterQuota& quota = QuotaOf(record.writer.kind);
  const uint64_t factor = source == Source::kRepair ? 2 : 1;
  if (used.records + 1 > factor * quota.records ||
      used.bytes + size > factor * quota.bytes) {
    return ResourceExhausted("quota_exceeded",
                             fmt::format("writer {} has {} records, {} here",
                                         HexEncode(record.writer.public_key),
                                         used.records, HumanBytes(used.bytes)));
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> RecordStore::Impl::KeptUntil(
    const std::string& digest) const {
  SHOAL_ASSIGN_OR_RETURN(auto value, store->Get(kRecordsFamily, digest));
  const auto stored = value.has_value() ? ParseRecordValue(*value)
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
      LogWarn("equal_versions",
              {{"place", HexEncode(record.body.place())},
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
      record.writer.public_key.size() != kWriterKeySize ||
      record.body.kind() <= 0 || record.body.kind() > 255) {
    return InvalidArgument("bad_record", "digest, place, kind or writer key");
  }
  const absl::Time now = absl::FromUnixSeconds(NowSeconds());
  const int64_t keep_until = absl::ToUnixSeconds(KeepUntil(record.body, now));
  if (keep_until <= NowSeconds()) {
    return FailedPrecondition("expired_record", "its time is over");
  }
  // Its writer may bring it; nodes that gave it to each other would keep it
  // for ever, since each counts from its arrival.
  if (pending.source == Source::kRepair &&
      absl::FromUnixMillis(record.body.issued()) > now + kClockSlack) {
    return FailedPrecondition("future_record", "issued in the future");
  }
  if (staged.digests.contains(record.digest)) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(auto known, store->Get(kRecordsFamily, record.digest));
  if (known.has_value()) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(CheckQuota(record, pending.source, &staged));
  int64_t due = keep_until;
  if (OnlyNewestCounts(record.body.kind())) {
    SHOAL_RETURN_IF_ERROR(StageSeries(pending, staged, &due));
  }
  const uint64_t sequence = ++staged.sequence;
  kv::WriteBatch& batch = staged.batch;
  batch.Put(kRecordsFamily, record.digest,
            RecordValue(sequence, record, keep_until));
  batch.Put(kArrivalFamily, BigEndian64(sequence),
            ArrivalValue(record, keep_until));
  batch.Put(kByPlaceFamily, ByPlaceKey(record),
            BigEndian64(record.bytes.size()));
  batch.Put(kDueFamily, DueKey(due, record.digest), "");
  // Who pairs writes once and never names its credential by digest.
  const bool member = record.writer.kind == records::v1::WRITER_CLASS_DEVICE ||
                      record.writer.kind == records::v1::WRITER_CLASS_NODE;
  if (record.body.has_credential() && member) {
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

}  // namespace shoal::dht::node
