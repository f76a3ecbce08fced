// Takes in records from the storage nodes: each is verified, taken once by its
// digest, and has its effect in the same change that moves the reader's
// cursor, so a crash neither loses nor repeats one.
#ifndef SHOAL_SERVER_PULL_INTAKE_H_
#define SHOAL_SERVER_PULL_INTAKE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dht/records/place.h"
#include "dht/records/record.h"
#include "server/pull/claims.h"
#include "server/store/store.h"

namespace shoal::server {

// Thread-safe.
class Intake {
 public:
  using Handler =
      std::function<absl::Status(Transaction&, const dht::VerifiedRecord&)>;

  Intake(Store& store, std::string fleet_id, const dht::PlaceNamer& places,
         dht::WriterResolver resolver);

  // Before the first Take().
  void Handle(dht::RecordKind kind, Handler handler);
  std::vector<dht::RecordKind> Kinds() const;

  struct Position {
    std::string node;  // name; empty: from the network, no cursor
    std::string store_id;
    uint64_t cursor = 0;
  };
  // One durable change for all of `records` but those that another thread is
  // taking meanwhile: for these it waits, and the position moves in a second
  // change. Bad records are counted, logged and skipped; a handler's error
  // keeps all of them for the next try.
  absl::Status Take(const std::vector<std::string>& records,
                    const Position& position);

  absl::StatusOr<dht::VerifiedRecord> Verify(std::string_view record) const;

  // Forgets digests of records that have expired.
  absl::Status ForgetExpired();

 private:
  struct Arrived {
    const std::string* bytes;
    std::string digest;
  };
  // Takes what nobody else is taking; the rest is left in `records`. The
  // position moves when nothing is left.
  absl::Status TakeUnclaimed(std::vector<Arrived>& records,
                             const Position& position);

  Store& store_;
  Claims claims_;
  const std::string fleet_id_;
  const dht::PlaceNamer& places_;
  const dht::WriterResolver resolver_;
  std::map<dht::RecordKind, Handler> handlers_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PULL_INTAKE_H_
