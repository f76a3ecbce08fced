#include "server/fleet/enrolment.h"

#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "fmt/format.h"
#include "server/fleet/credentials.h"
#include "server/fleet/network_keys.h"
#include "server/fleet/pairing_crypto.h"
#include "shoal/pairing/v1/pairing.pb.h"
#include "signing/sign/builder.h"
#include "signing/verify/entry_credential.h"

namespace shoal::server {
namespace {

// The answer waits for a device that was switched off after it had asked.
constexpr absl::Duration kReplyLifetime = absl::Hours(24 * 30);
constexpr size_t kMaxReasonBytes = 256;

absl::Status NotPending(const store::DeviceRow& row) {
  return FailedPrecondition(
      "not_pending",
      fmt::format("{} is neither pending nor rejected", row.device().name()));
}

void SetLabels(store::DeviceRow& row,
               const std::map<std::string, std::string>& labels) {
  for (const auto& [key, value] : labels) {
    (*row.mutable_assignment()->mutable_labels())[key] = value;
    (*row.mutable_device()->mutable_labels())[key] = value;
  }
}

}  // namespace

Enrolment::Enrolment(Store& store, const PlaneKeys& keys,
                     const RecordWriter& writer, const TrustRepository& trust,
                     Devices& devices, Nodes& nodes, Writers& writers,
                     EnrolmentOptions options)
    : store_(store),
      keys_(keys),
      writer_(writer),
      trust_(trust),
      devices_(devices),
      nodes_(nodes),
      writers_(writers),
      options_(options) {}

absl::StatusOr<std::string> Enrolment::Reply(Transaction& tx,
                                             store::DeviceRow& row) const {
  const fleet::v1::Device& device = row.device();
  pairing::v1::Grant grant;
  grant.set_answer_digest(row.request_digest());
  switch (device.state()) {
    case fleet::v1::ENROLMENT_STATE_ACCEPTED: {
      grant.set_device_id(row.assignment().device_id());
      *grant.mutable_credential() = row.credential();
      SHOAL_ASSIGN_OR_RETURN(
          *grant.mutable_certificate(),
          DeviceCertificate(keys_, writer_.fleet_id(), row.credential(),
                            options_.credential_lifetime));
      SHOAL_ASSIGN_OR_RETURN(*grant.mutable_network(),
                             MemberAccess(store_, keys_));
      SHOAL_ASSIGN_OR_RETURN(*grant.mutable_directory(), nodes_.Directory());
      *grant.mutable_assignment() = row.assignment();
      break;
    }
    case fleet::v1::ENROLMENT_STATE_PENDING:
      grant.set_verdict(pairing::v1::VERDICT_PENDING);
      break;
    default:
      grant.set_verdict(pairing::v1::VERDICT_REJECTED);
      grant.set_reason(device.reason());
      break;
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string box_key,
                         HexDecode(device.box_key()));
  SHOAL_ASSIGN_OR_RETURN(std::string sealed,
                         crypto::SealTo(box_key, grant.SerializeAsString()));
  // Only who holds the ticket learns that there is an answer.
  if (const auto ticket =
          tx.Get<store::TicketRow>(kTickets, HexEncode(row.ticket_place()));
      ticket.ok()) {
    sealed = PairingSeal(ticket->ticket().secret(), kGrantDomain,
                         writer_.fleet_id(), sealed);
  }
  row.set_grant_version(row.grant_version() + 1);
  return writer_.PublishAt(tx, records::v1::RECORD_KIND_PAIR_GRANT,
                           row.ticket_place(), row.grant_version(), sealed,
                           store_.clock().WallNow() + kReplyLifetime);
}

absl::StatusOr<std::string> Enrolment::Admit(Transaction& tx,
                                             store::DeviceRow& row,
                                             const std::string& principal,
                                             const std::string& detail) const {
  const absl::Time now = store_.clock().WallNow();
  SHOAL_ASSIGN_OR_RETURN(const std::string public_key,
                         HexDecode(row.device().public_key()));
  SHOAL_ASSIGN_OR_RETURN(
      *row.mutable_credential(),
      IssueDeviceCredential(tx, keys_, writer_.fleet_id(), public_key,
                            row.assignment().device_id(), now,
                            options_.credential_lifetime));
  row.set_credential_used(false);
  fleet::v1::Device& device = *row.mutable_device();
  device.set_state(fleet::v1::ENROLMENT_STATE_ACCEPTED);
  device.clear_reason();
  if (device.enrolled_at() == 0) {
    device.set_enrolled_at(absl::ToUnixMillis(now));
  }
  row.clear_pending_until();
  SHOAL_ASSIGN_OR_RETURN(const uint32_t epoch, NewestEpoch(store_));
  row.set_network_epoch(epoch);
  tx.Delete(kPending, HexEncode(row.assignment().device_id()));
  SHOAL_ASSIGN_OR_RETURN(std::string record, Reply(tx, row));
  SHOAL_RETURN_IF_ERROR(devices_.Accept(tx, row));
  tx.Audit(principal, "device.accept", device.name(), "ok", detail);
  tx.AfterCommit([this, credential = row.credential(), name = device.name()] {
    writers_.Add(credential);
    LogInfo("device_paired", {{"device", name}});
  });
  return record;
}

absl::StatusOr<std::string> Enrolment::Arrive(Transaction& tx,
                                              const Arrival& arrival) {
  const absl::Time now = store_.clock().WallNow();
  // Before anything is written: a key to which nothing can be sealed.
  SHOAL_RETURN_IF_ERROR(crypto::SealTo(arrival.box_key, ""));
  store::DeviceRow row;
  auto prepared = Preauthorized(tx, arrival);
  const bool preauthorized = prepared.ok();
  if (preauthorized) row = *std::move(prepared);
  records::v1::Assignment& assignment = *row.mutable_assignment();
  if (assignment.device_id().empty()) {
    assignment.set_device_id(crypto::RandomBytes(16));
    assignment.set_version(1);
  }
  const std::string key = HexEncode(assignment.device_id());
  assignment.set_device_type(arrival.device_type);
  fleet::v1::Device& device = *row.mutable_device();
  device.set_name("devices/" + key);
  device.set_device_type(arrival.device_type);
  device.set_public_key(HexEncode(arrival.device_key));
  device.set_box_key(HexEncode(arrival.box_key));
  device.set_fingerprint(signing::FingerprintOf(arrival.device_key));
  device.set_origin(arrival.origin);
  device.set_serial_number(arrival.serial_number);
  device.set_manufacturer(arrival.manufacturer);
  device.set_requested_at(absl::ToUnixMillis(now));
  for (const auto& [name, value] : arrival.inventory) {
    (*device.mutable_inventory())[name] = value;
  }
  SetLabels(row, arrival.labels);
  row.set_ticket_place(arrival.place);
  row.set_request_digest(arrival.request_digest);
  store::DeviceKeyRow pointer;
  pointer.set_device(key);
  tx.Put(kDeviceKeys, "key/" + HexEncode(arrival.device_key), pointer);
  if (arrival.accepted || preauthorized) {
    SHOAL_RETURN_IF_ERROR(Admit(tx, row, arrival.principal,
                                preauthorized
                                    ? "preauthorized, by " + arrival.origin
                                    : "by " + arrival.origin)
                              .status());
    return assignment.device_id();
  }
  device.set_state(fleet::v1::ENROLMENT_STATE_PENDING);
  row.set_pending_until(absl::ToUnixSeconds(now + options_.pending_lifetime));
  row.set_revision(row.revision() + 1);
  SHOAL_RETURN_IF_ERROR(Reply(tx, row).status());
  tx.Put(kDevices, key, row);
  tx.PutRaw(kPending, key, "");
  tx.Audit(arrival.principal, "device.accept", device.name(), "pending",
           fmt::format("by {}, fingerprint {}", arrival.origin,
                       device.fingerprint()));
  tx.AfterCommit([name = device.name(), origin = arrival.origin] {
    LogInfo("device_pending", {{"device", name}, {"origin", origin}});
  });
  return assignment.device_id();
}

absl::StatusOr<std::string> Enrolment::AdmitChecked(
    Transaction& tx, store::DeviceRow& row,
    const fleet::v1::AcceptDeviceRequest& request,
    const std::string& principal) const {
  const auto state = row.device().state();
  if (state != fleet::v1::ENROLMENT_STATE_PENDING &&
      state != fleet::v1::ENROLMENT_STATE_REJECTED) {
    return NotPending(row);
  }
  if (!request.fingerprint().empty()) {
    if (!signing::SameFingerprint(request.fingerprint(),
                                  row.device().fingerprint())) {
      return FailedPrecondition(
          "wrong_fingerprint",
          fmt::format("the device that asked as {} has the fingerprint {}: it "
                      "is not the one in your hand",
                      row.device().name(), row.device().fingerprint()));
    }
  } else if (row.device().origin() == "first_use" && !request.unchecked()) {
    return FailedPrecondition(
        "fingerprint_required",
        "nothing vouches for this device: compare the fingerprint with what "
        "'shoal-agent fingerprint' shows on it, and give it");
  }
  SetLabels(row, {request.labels().begin(), request.labels().end()});
  SHOAL_RETURN_IF_ERROR(CheckLabels(
      {row.device().labels().begin(), row.device().labels().end()}));
  return Admit(
      tx, row, principal,
      fmt::format(
          "by {}{}", row.device().origin(),
          request.fingerprint().empty() ? "" : ", fingerprint compared"));
}

absl::StatusOr<fleet::v1::Device> Enrolment::Accept(
    const fleet::v1::AcceptDeviceRequest& request,
    const std::string& principal) {
  SHOAL_ASSIGN_OR_RETURN(const std::string key, DeviceKey(request.name()));
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::DeviceRow>(kDevices, key));
  SHOAL_RETURN_IF_ERROR(AdmitChecked(tx, row, request, principal));
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  return devices_.Get(request.name());
}

absl::StatusOr<fleet::v1::Device> Enrolment::Reject(
    const fleet::v1::RejectDeviceRequest& request,
    const std::string& principal) {
  SHOAL_ASSIGN_OR_RETURN(const std::string key, DeviceKey(request.name()));
  if (request.reason().size() > kMaxReasonBytes) {
    return InvalidArgument("bad_request", "a reason has at most 256 bytes");
  }
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::DeviceRow>(kDevices, key));
  fleet::v1::Device& device = *row.mutable_device();
  const auto state = device.state();
  device.set_reason(request.reason());
  if (state == fleet::v1::ENROLMENT_STATE_PREAUTHORIZED) {
    // Nobody came: there is nothing to keep.
    tx.Delete(kDevices, key);
    tx.Delete(kDeviceKeys, PreauthorizationKey(device));
    device.set_state(fleet::v1::ENROLMENT_STATE_REJECTED);
  } else if (state == fleet::v1::ENROLMENT_STATE_PENDING) {
    device.set_state(fleet::v1::ENROLMENT_STATE_REJECTED);
    row.clear_pending_until();
    row.set_revision(row.revision() + 1);
    tx.Delete(kPending, key);
    SHOAL_RETURN_IF_ERROR(Reply(tx, row).status());
    tx.Put(kDevices, key, row);
  } else {
    return NotPending(row);
  }
  tx.Audit(principal, "device.accept", device.name(), "rejected",
           request.reason());
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  return device;
}

absl::Status Enrolment::Expire() {
  const int64_t now = absl::ToUnixSeconds(store_.clock().WallNow());
  std::vector<std::string> pending;
  SHOAL_RETURN_IF_ERROR(store_.ScanRaw(
      kPending, "", "", [&](std::string_view key, std::string_view) {
        pending.emplace_back(key);
        return true;
      }));
  for (const std::string& key : pending) {
    Transaction tx(store_);
    const auto row = tx.Get<store::DeviceRow>(kDevices, key);
    if (row.ok() &&
        row->device().state() == fleet::v1::ENROLMENT_STATE_PENDING) {
      if (row->pending_until() > now) continue;
      tx.Delete(kDevices, key);
      tx.Delete(kDeviceKeys, "key/" + row->device().public_key());
      tx.Audit("plane", "device.accept", row->device().name(),
               "pending_expired", row->device().fingerprint());
    }
    tx.Delete(kPending, key);
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  return absl::OkStatus();
}

absl::Status Enrolment::MakeDeviceKeys() {
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
  if (plane.device_keys_made()) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DeviceRow>(
      kDevices, "", "", [&](std::string_view key, const store::DeviceRow& row) {
        store::DeviceKeyRow pointer;
        pointer.set_device(std::string(key));
        tx.Put(kDeviceKeys, "key/" + row.device().public_key(), pointer);
        return true;
      }));
  plane.set_device_keys_made(true);
  tx.Put(kMeta, "identity", plane);
  return tx.Commit();
}

}  // namespace shoal::server
