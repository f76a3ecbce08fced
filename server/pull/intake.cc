#include "server/pull/intake.h"

#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "server/store/state.pb.h"

namespace shoal::server {

Intake::Intake(Store& store, std::string fleet_id,
               const dht::PlaceNamer& places, dht::WriterResolver resolver)
    : store_(store),
      fleet_id_(std::move(fleet_id)),
      places_(places),
      resolver_(std::move(resolver)) {}

void Intake::Handle(dht::RecordKind kind, Handler handler) {
  handlers_[kind] = std::move(handler);
}

std::vector<dht::RecordKind> Intake::Kinds() const {
  std::vector<dht::RecordKind> kinds;
  for (const auto& [kind, handler] : handlers_) kinds.push_back(kind);
  return kinds;
}

absl::StatusOr<dht::VerifiedRecord> Intake::Verify(
    std::string_view record) const {
  return dht::VerifyRecord(record, {.fleet_id = fleet_id_,
                                    .places = &places_,
                                    .resolver = resolver_,
                                    .now = store_.clock().WallNow()});
}

absl::Status Intake::Take(const std::vector<std::string>& records,
                          const Position& position) {
  std::vector<Arrived> left;
  for (const std::string& bytes : records)
    left.push_back({&bytes, dht::RecordDigest(bytes)});
  for (;;) {
    SHOAL_RETURN_IF_ERROR(TakeUnclaimed(left, position));
    if (left.empty()) return absl::OkStatus();
    std::vector<std::string> digests;
    for (const Arrived& record : left) digests.push_back(record.digest);
    claims_.Wait(digests);
    // Stored by now, or refused, or not to be stored at the moment.
  }
}

absl::Status Intake::TakeUnclaimed(std::vector<Arrived>& records,
                                   const Position& position) {
  Claims::Held held(claims_);
  std::vector<Arrived> others;
  // Signatures are checked before the writer lock is taken. Claimed one by one,
  // so that readers of the same records share them out.
  std::vector<dht::VerifiedRecord> verified;
  for (Arrived& arrived : records) {
    if (!held.Claim(arrived.digest)) {
      others.push_back(std::move(arrived));
      continue;
    }
    if (store_.Has(kSeen, arrived.digest)) continue;
    auto record = Verify(*arrived.bytes);
    if (!record.ok()) {
      LogWarn("record_refused",
              {{"node", position.node}, {"error", record.status()}});
      continue;
    }
    verified.push_back(*std::move(record));
  }
  records = std::move(others);
  if (verified.empty() && !records.empty()) return absl::OkStatus();
  Transaction tx(store_);
  for (const dht::VerifiedRecord& record : verified) {
    const auto handler = handlers_.find(record.body.kind());
    if (handler == handlers_.end()) continue;
    // Nobody else takes it while it is claimed here.
    tx.PutRaw(kSeen, record.digest,
              SequenceKey(static_cast<uint64_t>(record.body.expires())));
    SHOAL_RETURN_IF_ERROR(handler->second(tx, record));
  }
  if (!position.node.empty() && records.empty()) {
    store::CursorRow row;
    row.set_store_id(position.store_id);
    row.set_cursor(position.cursor);
    tx.Put(kCursors, position.node, row);
  }
  return tx.Commit();
}

absl::Status Intake::ForgetExpired() {
  const uint64_t now =
      static_cast<uint64_t>(absl::ToUnixSeconds(store_.clock().WallNow()));
  std::vector<std::string> old;
  SHOAL_RETURN_IF_ERROR(store_.ScanRaw(
      kSeen, "", "", [&](std::string_view key, std::string_view value) {
        // An hour on top: a node's clock may be behind.
        if (value.size() == 8 && ReadBigEndian(value, 8) + 3600 < now) {
          old.emplace_back(key);
        }
        return true;
      }));
  if (old.empty()) return absl::OkStatus();
  Transaction tx(store_);
  for (const std::string& digest : old) tx.Delete(kSeen, digest);
  return tx.Commit();
}

}  // namespace shoal::server
