// Signs the plane's records and puts them into the outbox of the store, in
// the transaction of the change that they announce: what was acknowledged to
// a caller is published, whatever happens to this process.
#ifndef SHOAL_SERVER_PUBLISH_RECORD_WRITER_H_
#define SHOAL_SERVER_PUBLISH_RECORD_WRITER_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dht/records/place.h"
#include "server/identity/plane_keys.h"
#include "server/store/store.h"

namespace shoal::server {

// Immutable: thread-safe.
class RecordWriter {
 public:
  // `keys` outlives it. `fleet_id`: 32 bytes.
  RecordWriter(const PlaneKeys& keys, std::string fleet_id);

  // The newest content at the place of (kind, name). The same content that is
  // published with more than half of its life left: nothing happens. With
  // `keep` it is signed anew at half of `lifetime` until Drop(). Its version is
  // above the one before and at least `least_version`.
  absl::Status Publish(Transaction& tx, dht::RecordKind kind,
                       const std::string& name, const std::string& payload,
                       absl::Duration lifetime, bool keep,
                       uint64_t least_version = 0) const;
  // Signs the row's payload again as the next version.
  absl::Status Renew(Transaction& tx, const std::string& row_key) const;
  // No renewal any more; the record lives until it expires.
  absl::Status Drop(Transaction& tx, dht::RecordKind kind,
                    const std::string& name) const;

  // A record at a place of its own (pairing); returns its bytes.
  absl::StatusOr<std::string> PublishAt(Transaction& tx, dht::RecordKind kind,
                                        const std::string& place,
                                        uint64_t version,
                                        const std::string& payload,
                                        absl::Time expires) const;
  // A record that somebody else signed and that the plane passes on.
  absl::Status PassOn(Transaction& tx, const std::string& record,
                      absl::Time expires) const;

  const dht::PlaceNamer& places() const { return places_; }
  const std::string& fleet_id() const { return fleet_id_; }

 private:
  std::string PlaceOf(dht::RecordKind kind, std::string_view name) const;
  absl::Status Enqueue(Transaction& tx, const std::string& record,
                       const std::string& publication,
                       absl::Time expires) const;
  const PlaneKeys& keys_;
  const std::string fleet_id_;
  const dht::PlaceNamer places_;
};

std::string PublicationKey(dht::RecordKind kind, std::string_view name);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PUBLISH_RECORD_WRITER_H_
