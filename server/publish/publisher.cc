#include "server/publish/publisher.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "dht/records/record.h"
#include "server/store/state.pb.h"
#include "server/trust/file_names.h"
#include "shoal/records/v1/payloads.pb.h"
#include "signing/metadata/metadata.h"

namespace shoal::server {
namespace {

constexpr size_t kMaxInFlight = 32;
constexpr absl::Duration kMaxBackoff = absl::Minutes(5);
constexpr absl::Duration kTimestampLifetime = absl::Hours(24);
constexpr absl::Duration kRenewalPass = absl::Minutes(1);
constexpr char kHeadKey[] = "head";

}  // namespace

Publisher::Publisher(Store& store, const RecordWriter& writer,
                     TrustRepository& trust, absl::Duration renewal,
                     PutRecord put, std::function<int()> node_count)
    : store_(store),
      writer_(writer),
      trust_(trust),
      renewal_(absl::Floor(renewal, absl::Seconds(1))),
      put_(std::move(put)),
      node_count_(std::move(node_count)) {}

Publisher::~Publisher() { Stop(); }

void Publisher::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Publisher::Stop() {
  if (thread_.joinable()) thread_.join();  // ends by Store::Shutdown()
}

absl::Status Publisher::AddPublication(Transaction& tx,
                                       const TrustRepository::Changed& changed,
                                       const TrustView& view) const {
  SHOAL_RETURN_IF_ERROR(AddRecords(tx, changed, view));
  if (changed.timestamp_only && Announced(tx, view)) return absl::OkStatus();
  return AddHead(tx);
}

// Whether the HEADs carry this timestamp, or one that is not older than
// renewals may be: a log that grows makes a timestamp each minute.
bool Publisher::Announced(const Transaction& tx, const TrustView& view) const {
  return std::all_of(
      view.device_types.begin(), view.device_types.end(),
      [&](const std::string& type) {
        const auto row = tx.Get<store::PublicationRow>(
            kPublications, PublicationKey(records::v1::RECORD_KIND_HEAD, type));
        records::v1::Head head;
        if (!row.ok() || !head.ParseFromString(row->payload())) return false;
        const auto timestamp = signing::ParseTimestamp(head.timestamp());
        return timestamp.ok() &&
               view.timestamp_expires - timestamp->value.expires < renewal_;
      });
}

absl::Status Publisher::AddRecords(Transaction& tx,
                                   const TrustRepository::Changed& changed,
                                   const TrustView& view) const {
  // First: what names a head is of use only with the entries under it.
  for (const auto& [n, bytes] : changed.log_bundles) {
    SHOAL_RETURN_IF_ERROR(
        writer_.Publish(tx, records::v1::RECORD_KIND_LOG_ENTRIES,
                        std::to_string(n), bytes, kDocumentLifetime, true));
  }
  for (const auto& [file, bytes] : changed.metadata) {
    std::string name;
    std::string older;
    absl::Duration lifetime = kDocumentLifetime;
    if (file == "timestamp.json") {
      name = "timestamp/" + std::to_string(view.versions.at("timestamp"));
      lifetime = kTimestampLifetime;
    } else {
      SHOAL_ASSIGN_OR_RETURN(MetadataName parsed, ParseMetadataFileName(file));
      name = parsed.role + "/" + std::to_string(parsed.version);
      // Every root stays: a device may have to walk through all of them.
      if (parsed.role != "root" && parsed.version > 1) {
        older = parsed.role + "/" + std::to_string(parsed.version - 1);
      }
    }
    if (bytes.size() > dht::kMaxPayloadSize) continue;  // by range request
    const bool timestamp = file == "timestamp.json";
    SHOAL_RETURN_IF_ERROR(writer_.Publish(tx, records::v1::RECORD_KIND_METADATA,
                                          name, bytes, lifetime, !timestamp));
    if (!older.empty()) {
      SHOAL_RETURN_IF_ERROR(
          writer_.Drop(tx, records::v1::RECORD_KIND_METADATA, older));
    }
  }
  for (const auto& [path, bytes] : changed.documents) {
    if (bytes.size() > dht::kMaxPayloadSize) continue;
    SHOAL_RETURN_IF_ERROR(
        writer_.Publish(tx, records::v1::RECORD_KIND_DOCUMENT,
                        HexEncode(crypto::Sha256Digest(bytes)), bytes,
                        kDocumentLifetime, true));
  }
  if (!changed.log_proof.empty()) {
    SHOAL_RETURN_IF_ERROR(writer_.Publish(
        tx, records::v1::RECORD_KIND_LOG_PROOF, HexEncode(changed.log_root),
        changed.log_proof, kDocumentLifetime, true));
  }
  if (!changed.log_retired.empty()) {
    SHOAL_RETURN_IF_ERROR(writer_.Drop(tx, records::v1::RECORD_KIND_LOG_PROOF,
                                       HexEncode(changed.log_retired)));
  }
  return absl::OkStatus();
}

absl::Status Publisher::AddHead(Transaction& tx) const {
  store::HeadRow head;
  if (auto row = tx.Get<store::HeadRow>(kMeta, kHeadKey); row.ok()) head = *row;
  head.set_pending(true);
  SHOAL_ASSIGN_OR_RETURN(uint64_t barrier, Barrier(tx));
  head.set_barrier(barrier);
  tx.Put(kMeta, kHeadKey, head);
  return absl::OkStatus();
}

absl::Status Publisher::PublishCurrent() {
  const auto view = trust_.View();
  TrustRepository::Changed all;
  all.metadata = view->metadata;
  for (size_t i = 0; i < view->roots.size(); ++i) {
    all.metadata[MetadataFileName("root", i + 1)] = view->roots[i];
  }
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DocumentRow>(
      kDocuments, "", "",
      [&](std::string_view path, const store::DocumentRow& row) {
        all.documents[std::string(path)] = row.content();
        return true;
      }));
  SHOAL_RETURN_IF_ERROR(trust_.AddLog(all));
  store::HeadRow head;
  if (auto row = store_.Get<store::HeadRow>(kMeta, kHeadKey); row.ok()) {
    head = *row;
  }
  bool same = true;
  for (const auto& [role, version] : view->versions) {
    const auto it = head.roles().find(role);
    same &= role == "timestamp" ||
            (it != head.roles().end() && it->second == version);
  }
  Transaction tx(store_);
  SHOAL_RETURN_IF_ERROR(AddRecords(tx, all, *view));
  // No new Head for devices that have everything already.
  if (!same || head.pending() || !Announced(tx, *view))
    SHOAL_RETURN_IF_ERROR(AddHead(tx));
  return tx.Commit();
}

absl::StatusOr<uint64_t> Publisher::Barrier(const Transaction& tx) {
  return tx.CurrentSequence(kOutbox);
}

absl::StatusOr<bool> Publisher::Acknowledged(uint64_t barrier) const {
  bool acknowledged = true;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::OutboxRow>(
      kOutbox, "", "", [&](std::string_view key, const store::OutboxRow& row) {
        if (ReadBigEndian(key, 8) > barrier) return false;
        acknowledged = row.under_replicated();
        return acknowledged;
      }));
  return acknowledged;
}

absl::StatusOr<bool> Publisher::Published(uint64_t barrier) const {
  SHOAL_ASSIGN_OR_RETURN(bool acknowledged, Acknowledged(barrier));
  if (!acknowledged) return false;
  auto head = store_.Get<store::HeadRow>(kMeta, kHeadKey);
  if (absl::IsNotFound(head.status())) return true;
  SHOAL_RETURN_IF_ERROR(head);
  if (head->pending()) return false;
  bool heads = true;
  const std::string prefix = PublicationKey(records::v1::RECORD_KIND_HEAD, "");
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::OutboxRow>(
      kOutbox, "", "", [&](std::string_view, const store::OutboxRow& row) {
        heads =
            row.under_replicated() || row.publication().rfind(prefix, 0) != 0;
        return heads;
      }));
  return heads;
}

void Publisher::Run() {
  uint64_t seen = 0;
  while (!store_.shut_down()) {
    for (const auto& step : {&Publisher::HandleResults, &Publisher::StartPuts,
                             &Publisher::SendHead, &Publisher::RenewOld}) {
      const absl::Status status = (this->*step)();
      if (!status.ok()) LogError("publish_failed", {{"error", status}});
    }
    {
      std::unique_lock lock(mailbox_->mutex);
      if (!mailbox_->results.empty()) continue;
      // Answers wake this at once, changes of the store within 50 ms.
      mailbox_->arrived.wait_for(
          lock, std::chrono::milliseconds(store_.revision() != seen ? 1 : 50));
    }
    seen = store_.revision();
  }
}

absl::Status Publisher::HandleResults() {
  std::vector<Result> results;
  {
    std::lock_guard lock(mailbox_->mutex);
    results.swap(mailbox_->results);
  }
  if (results.empty()) return absl::OkStatus();
  Transaction tx(store_);
  for (const Result& result : results) {
    const std::string key = SequenceKey(result.sequence);
    Flight& flight = flights_[result.sequence];
    flight.in_flight = false;
    const bool stored = result.result.ok() && result.result->receipts > 0;
    if (stored && !result.result->under_replicated) {
      tx.Delete(kOutbox, key);
      flights_.erase(result.sequence);
      continue;
    }
    flight.next_try = store_.clock().MonotonicNow() + flight.backoff;
    flight.backoff = std::min(flight.backoff * 2, kMaxBackoff);
    if (!stored) {
      if (result.result.ok() ||
          absl::IsInvalidArgument(result.result.status())) {
        LogWarn("record_refused", {{"sequence", result.sequence},
                                   {"error", result.result.status()}});
      }
      continue;
    }
    auto row = tx.Get<store::OutboxRow>(kOutbox, key);
    if (!row.ok() || row->under_replicated()) continue;
    row->set_under_replicated(true);
    LogWarn("record_under_replicated", {{"sequence", result.sequence},
                                        {"receipts", result.result->receipts},
                                        {"wanted", result.result->wanted}});
    tx.Put(kOutbox, key, *row);
  }
  return tx.Commit();
}

absl::Status Publisher::StartPuts() {
  if (node_count_() == 0) return absl::OkStatus();
  size_t in_flight = 0;
  for (const auto& [sequence, flight] : flights_) in_flight += flight.in_flight;
  if (in_flight >= kMaxInFlight) return absl::OkStatus();
  const absl::Duration monotonic = store_.clock().MonotonicNow();
  const int64_t now = absl::ToUnixSeconds(store_.clock().WallNow());
  std::vector<std::pair<uint64_t, std::string>> due;
  std::vector<uint64_t> gone;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::OutboxRow>(
      kOutbox, "", "", [&](std::string_view key, const store::OutboxRow& row) {
        const uint64_t sequence = ReadBigEndian(key, 8);
        const auto it = flights_.find(sequence);
        const bool flying = it != flights_.end() && it->second.in_flight;
        if (flying) return true;
        if (row.expires() <= now) {
          gone.push_back(sequence);
          return true;
        }
        if (!row.publication().empty()) {
          // A newer version of the same place makes this one pointless.
          auto publication = store_.Get<store::PublicationRow>(
              kPublications, row.publication());
          const auto body = dht::BodyOf(row.record());
          if (publication.ok() && body &&
              body->version() < publication->version()) {
            gone.push_back(sequence);
            return true;
          }
        }
        if (it == flights_.end() || it->second.next_try <= monotonic) {
          due.emplace_back(sequence, row.record());
        }
        return in_flight + due.size() < kMaxInFlight;
      }));
  if (!gone.empty()) {
    Transaction tx(store_);
    for (const uint64_t sequence : gone) {
      tx.Delete(kOutbox, SequenceKey(sequence));
      flights_.erase(sequence);
    }
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  for (auto& [sequence, record] : due) {
    flights_[sequence].in_flight = true;
    put_(std::move(record), [mailbox = mailbox_, id = sequence](
                                absl::StatusOr<dht::PutResult> result) {
      std::lock_guard lock(mailbox->mutex);
      mailbox->results.push_back({id, std::move(result)});
      mailbox->arrived.notify_one();
    });
  }
  return absl::OkStatus();
}

absl::Status Publisher::SendHead() {
  auto head = store_.Get<store::HeadRow>(kMeta, kHeadKey);
  if (absl::IsNotFound(head.status())) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(head);
  if (!head->pending() || node_count_() == 0) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(bool acknowledged, Acknowledged(head->barrier()));
  if (!acknowledged) return absl::OkStatus();
  Transaction tx(store_);
  // Read again under the lock: a change may have come in between; its own
  // records must then be waited for.
  SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::HeadRow>(kMeta, kHeadKey));
  if (!row.pending() || row.barrier() != head->barrier()) {
    return absl::OkStatus();
  }
  const auto view = trust_.View();
  records::v1::Head message;
  message.set_timestamp(view->metadata.at("timestamp.json"));
  message.set_snapshot_version(view->versions.at("snapshot"));
  for (const auto& [role, version] : view->versions) {
    if (role == "timestamp" || role == "snapshot") continue;
    const auto it = row.roles().find(role);
    if (it == row.roles().end() || it->second != version) {
      (*message.mutable_changed_roles())[role] = version;
    }
  }
  for (const auto& [role, version] : view->versions) {
    (*row.mutable_roles())[role] = version;
  }
  row.set_pending(false);
  tx.Put(kMeta, kHeadKey, row);
  for (const std::string& type : view->device_types) {
    // Numbered by the timestamp: a plane over a backup goes on above the
    // renewals that the backup lacks.
    SHOAL_RETURN_IF_ERROR(writer_.Publish(
        tx, records::v1::RECORD_KIND_HEAD, type, message.SerializeAsString(),
        absl::Hours(24 * 7), true, view->versions.at("timestamp")));
  }
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  LogInfo("head_published", {{"snapshot", message.snapshot_version()}});
  return absl::OkStatus();
}

absl::Status Publisher::RenewOld() {
  const absl::Duration monotonic = store_.clock().MonotonicNow();
  if (monotonic < next_renewal_) return absl::OkStatus();
  next_renewal_ = monotonic + kRenewalPass;
  const int64_t now = absl::ToUnixSeconds(store_.clock().WallNow());
  std::vector<std::string> due;
  std::vector<std::string> dead;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::PublicationRow>(
      kPublications, "", "",
      [&](std::string_view key, const store::PublicationRow& row) {
        if (row.keep() && row.expires() - now < row.lifetime() / 2) {
          due.emplace_back(key);
        } else if (!row.keep() && row.expires() < now) {
          dead.emplace_back(key);
        }
        return true;
      }));
  if (due.empty() && dead.empty()) return absl::OkStatus();
  Transaction tx(store_);
  for (const std::string& key : due) {
    SHOAL_RETURN_IF_ERROR(writer_.Renew(tx, key));
  }
  for (const std::string& key : dead) tx.Delete(kPublications, key);
  return tx.Commit();
}

}  // namespace shoal::server
