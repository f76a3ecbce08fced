// Requests of devices that have no ticket, and who was announced before.
#include <utility>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "fmt/format.h"
#include "server/fleet/credentials.h"
#include "server/fleet/enrolment.h"
#include "server/fleet/pairing_crypto.h"
#include "server/store/requests.h"
#include "server/trust/release_log.h"
#include "shoal/pairing/v1/pairing.pb.h"
#include "signing/sign/builder.h"
#include "signing/verify/entry_credential.h"

namespace shoal::server {
namespace {

constexpr size_t kMaxRequestBytes = 4096;
constexpr size_t kMaxInventory = 64;
constexpr int kMaxEndpoints = 3;
constexpr int64_t kDefaultDoorLifetime = 90 * 24 * 3600;
constexpr int64_t kMaxDoorLifetime = 2 * 365 * 24 * 3600;
// A member that has lost its membership gets it again for its key, not oftener.
constexpr absl::Duration kComeAgain = absl::Hours(1);

absl::Status Unusable(std::string_view what) {
  return InvalidArgument("bad_request", what);
}

// As people write it, so that it can stand in a key of the store.
bool IsSerialNumber(const std::string& text) {
  if (text.empty() || text.size() > signing::kMaxSerialNumberBytes) {
    return false;
  }
  for (const char c : text) {
    if (c <= ' ' || c > '~' || c == '/') return false;
  }
  return true;
}

}  // namespace

std::string PreauthorizationKey(const fleet::v1::Device& device) {
  return device.serial_number().empty()
             ? "fingerprint/" + device.fingerprint()
             : fmt::format("serial/{}/{}", device.manufacturer(),
                           device.serial_number());
}

absl::StatusOr<Arrival> Enrolment::CheckRequest(
    const dht::VerifiedRecord& record) const {
  pairing::v1::PairRequest request;
  const std::string& payload = record.body.payload();
  if (payload.size() > kMaxRequestBytes || !request.ParseFromString(payload)) {
    return Unusable("the request does not parse");
  }
  if (request.device_key() != record.writer.public_key ||
      request.box_key().size() != crypto::kBoxKeySize) {
    return Unusable("the request is for another key than its writer's");
  }
  if (!IsIdentifier(request.device_type()) ||
      request.inventory_size() > static_cast<int>(kMaxInventory)) {
    return Unusable("device type or inventory");
  }
  Arrival arrival;
  arrival.device_key = request.device_key();
  arrival.box_key = request.box_key();
  arrival.device_type = request.device_type();
  arrival.inventory = {request.inventory().begin(), request.inventory().end()};
  arrival.place = record.body.place();
  arrival.request_digest = crypto::Sha256Digest(payload);
  const records::v1::Credential& credential = record.body.credential();
  if (record.writer.kind == records::v1::WRITER_CLASS_FACTORY) {
    const auto view = trust_.View();
    SHOAL_ASSIGN_OR_RETURN(const signing::FactoryProof proof,
                           signing::VerifyFactory(credential, view->fleet,
                                                  store_.clock().WallNow()));
    if (proof.body.device_type() != request.device_type()) {
      return PermissionDenied("wrong_device_type",
                              "the factory credential is for another type");
    }
    arrival.origin = "factory";
    arrival.manufacturer = proof.manufacturer;
    arrival.serial_number = proof.body.serial_number();
    arrival.principal = "manufacturer:" + proof.manufacturer;
    arrival.accepted = options_.accept_factory;
    if (!IsSerialNumber(arrival.serial_number))
      return Unusable("serial number");
    return arrival;
  }
  records::v1::CredentialBody applicant;
  records::v1::CredentialBody door;
  if (!applicant.ParseFromString(credential.body()) ||
      !door.ParseFromString(applicant.door().body())) {
    return Unusable("the credential does not parse");
  }
  if (!door.device_type().empty() &&
      door.device_type() != request.device_type()) {
    return PermissionDenied("wrong_device_type",
                            "the bootstrap file is for another type");
  }
  arrival.origin = "first_use";
  arrival.principal = "door:" + HexEncode(door.subject_id());
  return arrival;
}

absl::StatusOr<store::DeviceRow> Enrolment::Preauthorized(
    const Transaction& tx, const Arrival& arrival) const {
  std::vector<std::string> names = {"fingerprint/" +
                                    signing::FingerprintOf(arrival.device_key)};
  if (!arrival.serial_number.empty()) {
    names.push_back(fmt::format("serial/{}/{}", arrival.manufacturer,
                                arrival.serial_number));
  }
  for (const std::string& name : names) {
    const auto pointer = tx.Get<store::DeviceKeyRow>(kDeviceKeys, name);
    if (!pointer.ok()) continue;
    SHOAL_ASSIGN_OR_RETURN(
        auto row, tx.Get<store::DeviceRow>(kDevices, pointer->device()));
    // Once: whoever comes next with this serial number waits for a person.
    if (row.device().state() == fleet::v1::ENROLMENT_STATE_PREAUTHORIZED &&
        row.device().device_type() == arrival.device_type) {
      return row;
    }
  }
  return NotFound("not_found", "nobody announced this device");
}

absl::StatusOr<bool> Enrolment::RoomForPending() const {
  size_t count = 0;
  SHOAL_RETURN_IF_ERROR(
      store_.ScanRaw(kPending, "", "", [&](std::string_view, std::string_view) {
        return ++count < options_.max_pending;
      }));
  return count < options_.max_pending;
}

absl::Status Enrolment::OnRequest(Transaction& tx,
                                  const dht::VerifiedRecord& record) {
  auto arrival = CheckRequest(record);
  if (!arrival.ok()) {
    LogWarn("pair_request_refused",
            {{"key", HexEncode(record.writer.public_key)},
             {"error", arrival.status()}});
    return absl::OkStatus();
  }
  const auto known = tx.Get<store::DeviceKeyRow>(
      kDeviceKeys, "key/" + HexEncode(arrival->device_key));
  if (known.ok()) return OnKnown(tx, known->device(), *arrival);
  if (!arrival->accepted && !Preauthorized(tx, *arrival).ok()) {
    SHOAL_ASSIGN_OR_RETURN(const bool room, RoomForPending());
    if (!room) {
      // The device asks again within the hour.
      LogWarn("too_many_pending", {{"max", options_.max_pending}});
      return absl::OkStatus();
    }
  }
  const auto arrived = Arrive(tx, *arrival);
  if (ReasonOf(arrived.status()) == "bad_key") {
    LogWarn("pair_request_refused", {{"error", arrived.status()}});
    return absl::OkStatus();
  }
  return arrived.status();
}

absl::Status Enrolment::OnKnown(Transaction& tx, const std::string& key,
                                const Arrival& arrival) const {
  SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::DeviceRow>(kDevices, key));
  const absl::Time now = store_.clock().WallNow();
  fleet::v1::Device& device = *row.mutable_device();
  // A key that the device has rotated away, or that stands in another row.
  if (device.public_key() != HexEncode(arrival.device_key)) {
    LogWarn("pair_request_of_old_key", {{"device", key}});
    return absl::OkStatus();
  }
  if (device.state() == fleet::v1::ENROLMENT_STATE_DECOMMISSIONED) {
    return absl::OkStatus();  // its records are refused before this
  }
  const bool again = row.request_digest() == arrival.request_digest &&
                     row.ticket_place() == arrival.place;
  if (device.state() == fleet::v1::ENROLMENT_STATE_PENDING) {
    row.set_pending_until(absl::ToUnixSeconds(now + options_.pending_lifetime));
  } else if (again) {
    return absl::OkStatus();  // renewed while its answer was under way
  }
  if (device.state() == fleet::v1::ENROLMENT_STATE_ACCEPTED &&
      absl::FromUnixMillis(device.requested_at()) + kComeAgain > now) {
    return absl::OkStatus();
  }
  if (!again) {
    if (!crypto::SealTo(arrival.box_key, "").ok()) return absl::OkStatus();
    // Versions at one place go on: readers take the highest.
    if (row.ticket_place() != arrival.place) row.set_grant_version(0);
    row.set_ticket_place(arrival.place);
    row.set_request_digest(arrival.request_digest);
    device.set_box_key(HexEncode(arrival.box_key));
  }
  device.set_requested_at(absl::ToUnixMillis(now));
  row.set_revision(row.revision() + 1);
  if (again) {
    tx.Put(kDevices, key, row);
    return absl::OkStatus();
  }
  LogInfo("device_came_again", {{"device", key}});
  if (device.state() == fleet::v1::ENROLMENT_STATE_ACCEPTED) {
    return Admit(tx, row, arrival.principal, "came again with its key")
        .status();
  }
  SHOAL_RETURN_IF_ERROR(Reply(tx, row).status());
  tx.Put(kDevices, key, row);
  return absl::OkStatus();
}

absl::Status Enrolment::PreauthorizeKey(Transaction& tx,
                                        const fleet::v1::DeviceImport& import,
                                        const std::string& principal) const {
  SHOAL_ASSIGN_OR_RETURN(const std::string public_key,
                         HexDecode(import.public_key()));
  fleet::v1::Device device;
  device.set_fingerprint(signing::FingerprintOf(public_key));
  device.set_device_type(import.device_type());
  *device.mutable_labels() = import.labels();
  *device.mutable_groups() = import.groups();
  return PutPreauthorized(tx, device, principal);
}

absl::Status Enrolment::PutPreauthorized(Transaction& tx,
                                         fleet::v1::Device& device,
                                         const std::string& principal) const {
  if (tx.Has(kDeviceKeys, PreauthorizationKey(device))) {
    return MakeError(absl::StatusCode::kAlreadyExists, "already_exists",
                     "this device was announced before");
  }
  store::DeviceRow row;
  const std::string id = crypto::RandomBytes(16);
  const std::string key = HexEncode(id);
  row.mutable_assignment()->set_device_id(id);
  row.mutable_assignment()->set_version(1);
  row.mutable_assignment()->set_device_type(device.device_type());
  *row.mutable_assignment()->mutable_labels() = device.labels();
  device.set_name("devices/" + key);
  device.set_state(fleet::v1::ENROLMENT_STATE_PREAUTHORIZED);
  *row.mutable_device() = device;
  row.set_revision(1);
  tx.Put(kDevices, key, row);
  store::DeviceKeyRow pointer;
  pointer.set_device(key);
  tx.Put(kDeviceKeys, PreauthorizationKey(device), pointer);
  tx.Audit(principal, "device.accept", device.name(), "preauthorized",
           PreauthorizationKey(device));
  return absl::OkStatus();
}

absl::StatusOr<fleet::v1::Device> Enrolment::Preauthorize(
    const fleet::v1::PreauthorizeDeviceRequest& request,
    const std::string& principal) {
  if (!IsIdentifier(request.device_type())) {
    return Unusable("device_type is not an identifier");
  }
  const std::map<std::string, std::string> labels(request.labels().begin(),
                                                  request.labels().end());
  SHOAL_RETURN_IF_ERROR(CheckLabels(labels));
  const bool by_serial = !request.serial_number().empty();
  if (by_serial == !request.fingerprint().empty()) {
    return Unusable("give a serial number or a fingerprint");
  }
  fleet::v1::Device device;
  if (by_serial) {
    if (!IsSerialNumber(request.serial_number())) {
      return Unusable(
          "a serial number is at most 64 printable characters, without blanks "
          "and '/'");
    }
    const auto view = trust_.View();
    bool found = false;
    for (const auto& one : view->fleet.manufacturers) {
      found = found || one.name == request.manufacturer();
    }
    if (!found) {
      return FailedPrecondition(
          "unknown_manufacturer",
          fmt::format("'{:.64}' is no manufacturer that the offline targets "
                      "role names (shoal-sign manufacturer add)",
                      request.manufacturer()));
    }
    device.set_manufacturer(request.manufacturer());
    device.set_serial_number(request.serial_number());
  } else {
    const std::string text = signing::NormalFingerprint(request.fingerprint());
    if (text.empty()) {
      return Unusable("a fingerprint is 26 letters and digits in groups");
    }
    device.set_fingerprint(text);
  }
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(bool again,
                         FindRequest(tx, "PreauthorizeDevice", principal,
                                     request.request_id(), request, device));
  if (again) return device;
  device.set_device_type(request.device_type());
  *device.mutable_labels() = request.labels();
  SHOAL_RETURN_IF_ERROR(PutPreauthorized(tx, device, principal));
  RememberRequest(tx, "PreauthorizeDevice", principal, request.request_id(),
                  request, device);
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  return device;
}

absl::StatusOr<fleet::v1::CreateBootstrapFileResponse>
Enrolment::CreateBootstrapFile(
    const fleet::v1::CreateBootstrapFileRequest& request,
    const std::string& principal) {
  if (!request.device_type().empty() && !IsIdentifier(request.device_type())) {
    return Unusable("device_type is not an identifier");
  }
  const int64_t lifetime = request.lifetime_seconds() == 0
                               ? kDefaultDoorLifetime
                               : request.lifetime_seconds();
  if (lifetime < 0 || lifetime > kMaxDoorLifetime) {
    return Unusable("lifetime_seconds is between 1 and 2 years");
  }
  SHOAL_ASSIGN_OR_RETURN(const auto directory, nodes_.Directory());
  if (directory.nodes().empty()) {
    return FailedPrecondition("no_nodes",
                              "enrol a storage node first: a device finds the "
                              "network through them");
  }
  const absl::Time now = store_.clock().WallNow();
  pairing::v1::BootstrapFile file;
  file.set_fleet_id(writer_.fleet_id());
  for (const auto& node : directory.nodes()) {
    if (file.endpoints_size() == kMaxEndpoints) break;
    file.add_endpoints(node.dht_address());
  }
  file.set_bootstrap_key(std::string(keys_.bootstrap_key.view()));
  file.set_issued(absl::ToUnixSeconds(now));
  file.set_expires(absl::ToUnixSeconds(now) + lifetime);
  file.set_device_type(request.device_type());
  Transaction tx(store_);
  std::string door_name = "factory only";
  if (!request.factory_only()) {
    const crypto::SigningKey key = crypto::SigningKey::Generate();
    SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
    plane.set_credential_serial(plane.credential_serial() + 1);
    tx.Put(kMeta, "identity", plane);
    records::v1::CredentialBody door;
    door.set_public_key(key.public_key());
    door.set_subject_id(crypto::RandomBytes(16));
    door.set_kind(records::v1::WRITER_CLASS_DOOR);
    door.set_not_after(file.expires());
    door.set_serial(plane.credential_serial());
    door.set_device_type(request.device_type());
    SHOAL_ASSIGN_OR_RETURN(
        *file.mutable_door(),
        signing::IssueCredential(keys_.device_ca, writer_.fleet_id(), door));
    SHOAL_RETURN_IF_ERROR(LogCredential(tx, "door", door.subject_id(),
                                        door.serial(), file.door()));
    file.set_door_seed(std::string(key.seed().view()));
    door_name = "door:" + HexEncode(door.subject_id());
  }
  tx.Audit(principal, "device.accept", "bootstrap", "ok", door_name);
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  fleet::v1::CreateBootstrapFileResponse response;
  response.set_file("SHOALB1-" + Base32Encode(file.SerializeAsString()));
  response.set_expires_at(file.expires());
  return response;
}

}  // namespace shoal::server
