#include "server/publish/record_writer.h"

#include <utility>

#include "common/crypto/hash.h"
#include "dht/records/record.h"
#include "fmt/format.h"
#include "server/store/state.pb.h"

namespace shoal::server {

std::string PublicationKey(dht::RecordKind kind, std::string_view name) {
  return fmt::format("{}/{}", static_cast<int>(kind), name);
}

std::string RecordWriter::PlaceOf(dht::RecordKind kind,
                                  std::string_view name) const {
  // A grant that is renewed stands where the device looks anyway.
  return places_.Place(kind == records::v1::RECORD_KIND_PAIR_GRANT
                           ? records::v1::RECORD_KIND_ASSIGNMENT
                           : kind,
                       name);
}

RecordWriter::RecordWriter(const PlaneKeys& keys, std::string fleet_id)
    : keys_(keys),
      fleet_id_(std::move(fleet_id)),
      places_(keys.place_key.view()) {}

absl::Status RecordWriter::Publish(Transaction& tx, dht::RecordKind kind,
                                   const std::string& name,
                                   const std::string& payload,
                                   absl::Duration lifetime, bool keep,
                                   uint64_t least_version) const {
  const absl::Time now = tx.store().clock().WallNow();
  const std::string key = PublicationKey(kind, name);
  store::PublicationRow row;
  auto existing = tx.Get<store::PublicationRow>(kPublications, key);
  if (existing.ok()) {
    row = *std::move(existing);
    const bool alive =
        absl::FromUnixSeconds(row.expires()) - now > lifetime / 2;
    if (row.payload() == payload && alive && row.keep() == keep) {
      return absl::OkStatus();
    }
  } else if (!absl::IsNotFound(existing.status())) {
    return existing.status();
  }
  row.set_kind(kind);
  row.set_name(name);
  row.set_payload(payload);
  row.set_payload_sha256(crypto::Sha256Digest(payload));
  row.set_lifetime(absl::ToInt64Seconds(lifetime));
  row.set_keep(keep);
  if (least_version > row.version() + 1) row.set_version(least_version - 1);
  tx.Put(kPublications, key, row);
  return Renew(tx, key);
}

absl::Status RecordWriter::Renew(Transaction& tx,
                                 const std::string& row_key) const {
  SHOAL_ASSIGN_OR_RETURN(auto row,
                         tx.Get<store::PublicationRow>(kPublications, row_key));
  const absl::Time now = tx.store().clock().WallNow();
  dht::RecordFields fields;
  fields.kind = static_cast<dht::RecordKind>(row.kind());
  fields.place = PlaceOf(fields.kind, row.name());
  fields.version = row.version() + 1;
  fields.issued = now;
  fields.expires = now + absl::Seconds(row.lifetime());
  fields.payload = row.payload();
  if (fields.payload.size() > dht::kMaxPayloadSize) {
    return ResourceExhausted(
        "record_too_large",
        fmt::format("{} has {} bytes, a record takes {}", row_key,
                    fields.payload.size(), dht::kMaxPayloadSize));
  }
  row.set_version(fields.version);
  row.set_expires(absl::ToUnixSeconds(fields.expires));
  tx.Put(kPublications, row_key, row);
  return Enqueue(tx, dht::SignRecord(fields, keys_.director, fleet_id_),
                 row_key, fields.expires);
}

absl::Status RecordWriter::Drop(Transaction& tx, dht::RecordKind kind,
                                const std::string& name) const {
  const std::string key = PublicationKey(kind, name);
  auto row = tx.Get<store::PublicationRow>(kPublications, key);
  if (absl::IsNotFound(row.status())) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(row);
  row->set_keep(false);
  tx.Put(kPublications, key, *row);
  return absl::OkStatus();
}

absl::StatusOr<std::string> RecordWriter::PublishAt(
    Transaction& tx, dht::RecordKind kind, const std::string& place,
    uint64_t version, const std::string& payload, absl::Time expires) const {
  dht::RecordFields fields;
  fields.kind = kind;
  fields.place = place;
  fields.version = version;
  fields.issued = tx.store().clock().WallNow();
  fields.expires = expires;
  fields.payload = payload;
  std::string record = dht::SignRecord(fields, keys_.director, fleet_id_);
  SHOAL_RETURN_IF_ERROR(Enqueue(tx, record, "", expires));
  return record;
}

absl::Status RecordWriter::PassOn(Transaction& tx, const std::string& record,
                                  absl::Time expires) const {
  return Enqueue(tx, record, "", expires);
}

absl::Status RecordWriter::Enqueue(Transaction& tx, const std::string& record,
                                   const std::string& publication,
                                   absl::Time expires) const {
  SHOAL_ASSIGN_OR_RETURN(uint64_t sequence, tx.NextSequence(kOutbox));
  store::OutboxRow row;
  row.set_record(record);
  row.set_publication(publication);
  row.set_expires(absl::ToUnixSeconds(expires));
  tx.Put(kOutbox, SequenceKey(sequence), row);
  return absl::OkStatus();
}

}  // namespace shoal::server
