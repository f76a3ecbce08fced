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

namespace shoal::server {

// A record that a device signed before it replaced its key may lie with a
// storage node, unread, for this long: the longest life that devices give one.
inline constexpr absl::Duration kSupersededGrace = absl::Hours(24 * 30);

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
  // everything once nobody can still hold an older record.
  void Supersede(const std::string& public_key, absl::Time until);

 private:
  explicit Writers(const TrustRepository& trust) : trust_(trust) {}
  const TrustRepository& trust_;
  mutable std::mutex mutex_;
  std::map<std::string, records::v1::Credential> by_digest_;
  std::set<std::string> refused_;
  std::map<std::string, absl::Time> superseded_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PUBLISH_WRITERS_H_
