// Who comes into the fleet, by whichever way: a claim ticket (pairing.h), a
// factory credential, or nothing but a key (docs/pairing.md). Holds the states
// pending, preauthorized, accepted and rejected, and tells devices of them.
#ifndef SHOAL_SERVER_FLEET_ENROLMENT_H_
#define SHOAL_SERVER_FLEET_ENROLMENT_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dht/records/record.h"
#include "server/fleet/credentials.h"
#include "server/fleet/device_certificate.h"
#include "server/fleet/devices.h"
#include "server/fleet/nodes.h"
#include "server/identity/plane_keys.h"
#include "server/publish/record_writer.h"
#include "server/store/store.h"
#include "shoal/fleet/v1/enrolment_service.pb.h"

namespace shoal::server {

struct EnrolmentOptions {
  // Devices that may wait at a time; more are not listed until there is room.
  size_t max_pending = 1000;
  // A device that was neither accepted nor rejected, and asked no more for this
  // long, is forgotten.
  absl::Duration pending_lifetime = absl::Hours(24 * 7);
  // A valid factory credential is enough.
  bool accept_factory = false;
  // Of device credentials; renewed at half of it.
  absl::Duration credential_lifetime = kDeviceCredentialLifetime;
};

// A device that has proven its key, and what is known of it.
struct Arrival {
  std::string device_key;  // ed25519
  std::string box_key;     // X25519
  std::string device_type;
  std::map<std::string, std::string> inventory;
  std::map<std::string, std::string> labels;
  std::string origin;  // "ticket", "factory", "first_use"
  std::string serial_number;
  std::string manufacturer;
  std::string place;           // where it waits for its answer
  std::string request_digest;  // what the answer is bound to
  bool accepted = false;
  std::string principal;  // who let it in, for the audit log
};

// Thread-safe.
class Enrolment {
 public:
  // All outlive it.
  Enrolment(Store& store, const PlaneKeys& keys, const RecordWriter& writer,
            const TrustRepository& trust, Devices& devices, Nodes& nodes,
            Writers& writers, EnrolmentOptions options);

  // Makes the device and its answer; its id (16 bytes). "bad_key" for a box key
  // that is none: nothing happens then.
  absl::StatusOr<std::string> Arrive(Transaction& tx, const Arrival& arrival);

  // A verified PAIR_REQUEST. One that can't be used is logged and ignored.
  absl::Status OnRequest(Transaction& tx, const dht::VerifiedRecord& record);

  // "bad_name", "not_found", "not_pending" (neither pending nor rejected),
  // "wrong_fingerprint", "fingerprint_required", "bad_label".
  absl::StatusOr<fleet::v1::Device> Accept(
      const fleet::v1::AcceptDeviceRequest& request,
      const std::string& principal);
  // A request that was carried here, and the answer to carry back: accepts the
  // device (enrolment_by_file.cc). Accept()'s reasons, VerifyRecord's,
  // "bad_request".
  absl::StatusOr<fleet::v1::PairDeviceResponse> PairByFile(
      const fleet::v1::PairDeviceRequest& request,
      const std::string& principal);
  // Of a preauthorized device: takes that back. "not_pending",
  // "bad_request".
  absl::StatusOr<fleet::v1::Device> Reject(
      const fleet::v1::RejectDeviceRequest& request,
      const std::string& principal);
  // "bad_request", "bad_label", "unknown_manufacturer", "already_exists".
  absl::StatusOr<fleet::v1::Device> Preauthorize(
      const fleet::v1::PreauthorizeDeviceRequest& request,
      const std::string& principal);
  // A device known by its public key, out of an import that was checked; within
  // the import's own change. "already_exists".
  absl::Status PreauthorizeKey(Transaction& tx,
                               const fleet::v1::DeviceImport& import,
                               const std::string& principal) const;
  // "bad_request", "no_nodes".
  absl::StatusOr<fleet::v1::CreateBootstrapFileResponse> CreateBootstrapFile(
      const fleet::v1::CreateBootstrapFileRequest& request,
      const std::string& principal);

  // PEM of the device CA's certificate.
  absl::StatusOr<std::string> CaCertificate() const {
    return DeviceCaCertificate(keys_, writer_.fleet_id());
  }

  // Forgets pending devices that ask no more.
  absl::Status Expire();
  // Once for a store that is older than the table of keys.
  absl::Status MakeDeviceKeys();

 private:
  // The present state as a record at the device's place; its bytes.
  absl::StatusOr<std::string> Reply(Transaction& tx,
                                    store::DeviceRow& row) const;
  absl::StatusOr<std::string> Admit(Transaction& tx, store::DeviceRow& row,
                                    const std::string& principal,
                                    const std::string& detail) const;
  // What an operator says of a device that waits: Accept() and PairByFile().
  absl::StatusOr<std::string> AdmitChecked(
      Transaction& tx, store::DeviceRow& row,
      const fleet::v1::AcceptDeviceRequest& request,
      const std::string& principal) const;
  absl::Status OnKnown(Transaction& tx, const std::string& key,
                       const Arrival& arrival) const;
  absl::StatusOr<Arrival> CheckRequest(const dht::VerifiedRecord& record) const;
  absl::StatusOr<store::DeviceRow> Preauthorized(const Transaction& tx,
                                                 const Arrival& arrival) const;
  absl::StatusOr<bool> RoomForPending() const;
  absl::Status PutPreauthorized(Transaction& tx, fleet::v1::Device& device,
                                const std::string& principal) const;

  Store& store_;
  const PlaneKeys& keys_;
  const RecordWriter& writer_;
  const TrustRepository& trust_;
  Devices& devices_;
  Nodes& nodes_;
  Writers& writers_;
  const EnrolmentOptions options_;
};

// "serial/MANUFACTURER/SERIAL" or "fingerprint/TEXT": its row in device_keys.
std::string PreauthorizationKey(const fleet::v1::Device& device);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_ENROLMENT_H_
