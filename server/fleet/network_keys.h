// The epochs of the network key (docs/adr/0013): makes them, seals them to the
// storage nodes, and says which are in force. Devices get them with their
// grants (credentials.h).
#ifndef SHOAL_SERVER_FLEET_NETWORK_KEYS_H_
#define SHOAL_SERVER_FLEET_NETWORK_KEYS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/identity/plane_keys.h"
#include "server/publish/record_writer.h"
#include "server/store/store.h"
#include "server/trust/repository.h"
#include "shoal/fleet/v1/enrolment_service.pb.h"
#include "shoal/pairing/v1/pairing.pb.h"

namespace shoal::server {

struct NetworkKeyOptions {
  // How long nodes open the epoch before.
  absl::Duration overlap = absl::Hours(24 * 7);
};

// Read from the store as it is committed.
// For devices and operators: the keys in force, and the place key.
absl::StatusOr<pairing::v1::NetworkAccess> MemberAccess(const Store& store,
                                                        const PlaneKeys& keys);
// For storage nodes: all of them, with the time until which each is in force.
absl::StatusOr<pairing::v1::NetworkAccess> NodeAccess(const Store& store,
                                                      const PlaneKeys& keys);
absl::StatusOr<uint32_t> NewestEpoch(const Store& store);

// Thread-safe.
class NetworkKeys {
 public:
  // All outlive it.
  NetworkKeys(Store& store, const PlaneKeys& keys, const RecordWriter& writer,
              const TrustRepository& trust, NetworkKeyOptions options)
      : store_(store),
        keys_(keys),
        writer_(writer),
        trust_(trust),
        options_(options) {}

  struct Rotated {
    uint32_t epoch = 0;
    absl::Time overlap_until;
  };
  // A new epoch, sealed to every node that is not revoked; OnRotated is told.
  // "too_many_epochs" while kMaxInForce are in force. Idempotent by request_id:
  // the first call's epoch again, "bad_request_id", "request_id_reused".
  absl::StatusOr<Rotated> Rotate(
      const fleet::v1::RotateNetworkKeyRequest& request,
      const std::string& principal);
  // A member has left: a new epoch, now or, when there was one within an eighth
  // of the overlap, as soon as that is over.
  absl::Status MemberLeft(const std::string& reason);
  // Rotates when one is due, or when the policy has revoked a node since.
  absl::Status RotateIfDue();
  // Seals the keys to the nodes again: one has joined.
  absl::Status PublishToNodes();

  // For the plane's own network; with the bootstrap key.
  absl::StatusOr<std::vector<pairing::v1::NetworkKey>> OwnKeys() const;
  void OnRotated(std::function<void()> callback) {
    on_rotated_ = std::move(callback);
  }

  static constexpr size_t kMaxInForce = 12;

 private:
  absl::Status Publish(Transaction& tx,
                       const pairing::v1::NetworkAccess& access) const;
  absl::StatusOr<bool> NoteRevokedNodes();

  Store& store_;
  const PlaneKeys& keys_;
  const RecordWriter& writer_;
  const TrustRepository& trust_;
  const NetworkKeyOptions options_;
  std::function<void()> on_rotated_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_NETWORK_KEYS_H_
