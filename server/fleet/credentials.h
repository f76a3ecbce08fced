// Device credentials that are due: issued again to the same key, on the
// device's own place, without a visit. Two causes: half of the lifetime is
// over, or the fleet's device CA has changed (its key was stolen, and offline
// keys named another).
//
// A credential is no secret: it is worth something only to the holder of the
// key that it names. The plane knows that key from pairing, where the device
// proved it; the device proves it again by the first report that it signs
// under the new credential, and until then the offer stands. Who merely held
// the stolen CA's key is known to no row of the store and gets nothing.
#ifndef SHOAL_SERVER_FLEET_CREDENTIALS_H_
#define SHOAL_SERVER_FLEET_CREDENTIALS_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dht/records/record.h"
#include "server/identity/plane_keys.h"
#include "server/publish/record_writer.h"
#include "server/publish/writers.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"

namespace shoal::server {

inline constexpr absl::Duration kDeviceCredentialLifetime =
    absl::Hours(24 * 365 * 2);

// Thread-safe.
class Credentials {
 public:
  // All outlive it.
  // `lifetime`: of a credential.
  Credentials(Store& store, const PlaneKeys& keys, const RecordWriter& writer,
              Writers& writers,
              absl::Duration lifetime = kDeviceCredentialLifetime)
      : store_(store),
        keys_(keys),
        writer_(writer),
        writers_(writers),
        lifetime_(lifetime) {}

  // Issues and offers what is due; how many.
  absl::StatusOr<int> RenewDue();

  // Before Devices::OnReport(): a device that asks for another key, or uses one
  // for the first time (docs/pairing.md). What does not prove itself changes
  // nothing.
  absl::Status OnKeyChange(Transaction& tx, const dht::VerifiedRecord& record);

  // `superseded` runs after a device has given a key up: the fleet is to be
  // told. Set it before the first report; it must not block.
  void OnSuperseded(std::function<void()> superseded) {
    superseded_ = std::move(superseded);
  }

  // A device's report: under the newest credential, the offer is withdrawn.
  absl::Status OnReport(Transaction& tx, const dht::VerifiedRecord& record);

 private:
  bool IsDue(const store::DeviceRow& row, absl::Time now) const;
  absl::Status Renew(Transaction& tx, const std::string& key, absl::Time now,
                     uint32_t epoch);
  // A credential for the key that the device asks for, else for the one it has.
  absl::Status Issue(Transaction& tx, store::DeviceRow& row,
                     absl::Time now) const;
  absl::Status Offer(Transaction& tx, const std::string& key,
                     store::DeviceRow& row, uint32_t epoch) const;
  // credentials_key_change.cc
  absl::Status AskForKey(Transaction& tx, const std::string& key,
                         store::DeviceRow& row, const std::string& new_key);
  absl::Status AdoptKey(Transaction& tx, const std::string& key,
                        store::DeviceRow& row,
                        const dht::VerifiedRecord& record);
  void DropNextKey(Transaction& tx, const std::string& key,
                   store::DeviceRow& row) const;

  Store& store_;
  const PlaneKeys& keys_;
  const RecordWriter& writer_;
  Writers& writers_;
  const absl::Duration lifetime_;
  std::function<void()> superseded_;
};

// Signs a device's credential under the next serial number.
absl::StatusOr<records::v1::Credential> IssueDeviceCredential(
    Transaction& tx, const PlaneKeys& keys, const std::string& fleet_id,
    const std::string& public_key, const std::string& device_id, absl::Time now,
    absl::Duration lifetime);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_CREDENTIALS_H_
