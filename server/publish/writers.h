// Who may write records, for the plane: the fleet's trust in force and the
// devices and nodes that the plane itself certified or turned away.
#ifndef SHOAL_SERVER_PUBLISH_WRITERS_H_
#define SHOAL_SERVER_PUBLISH_WRITERS_H_

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dht/records/record.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"
#include "server/trust/repository.h"
#include "shoal/records/v1/credential.pb.h"
#include "signing/verify/seen_signatures.h"

namespace shoal::server {

// A record that a device signed before it replaced its key may lie with a
// storage node that does not answer just then. Counted from when the plane
// learned of the change: until then nobody could be told.
inline constexpr absl::Duration kSupersededGrace = absl::Hours(24);

// Thread-safe, never blocks.
class Writers {
 public:
  // `trust` outlives it. Reads the credentials of devices and nodes.
  static absl::StatusOr<std::unique_ptr<Writers>> Open(
      const Store& store, const TrustRepository& trust);

  // For VerifyRecord and the network: signing::ResolveWriter with its reasons,
  // "revoked" for a device that was decommissioned, and "superseded_key".
  absl::StatusOr<dht::Writer> Resolve(const dht::RecordBody& body,
                                      absl::Time now) const;
  dht::WriterResolver Resolver() const;

  void Add(const records::v1::Credential& credential);
  // A decommissioned device's key, 32 bytes.
  void Refuse(const std::string& public_key);
  // All keys that it has or had.
  void RefuseDevice(const store::DeviceRow& row);
  // A key that its device has replaced: what it signed later is refused, and
  // everything after the grace.
  void Supersede(const store::DeviceRow::SupersededKey& key);

 private:
  explicit Writers(const TrustRepository& trust) : trust_(trust) {}
  const TrustRepository& trust_;
  mutable signing::SeenSignatures seen_;
  mutable std::mutex mutex_;
  std::map<std::string, records::v1::Credential> by_digest_;
  std::set<std::string> refused_;
  struct Superseded {
    absl::Time until;         // what it signed up to then
    absl::Time taken_before;  // is taken so long
  };
  std::map<std::string, Superseded> superseded_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PUBLISH_WRITERS_H_
