#include "server/fleet/credentials.h"

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/log.h"
#include "server/fleet/device_certificate.h"
#include "server/fleet/network_keys.h"
#include "server/fleet/nodes.h"
#include "server/trust/release_log.h"
#include "shoal/pairing/v1/pairing.pb.h"
#include "signing/sign/builder.h"
#include "signing/verify/credential.h"

namespace shoal::server {
namespace {

// Long enough for a device that was switched off over a winter; kept alive
// beyond that until the device has taken it.
constexpr absl::Duration kOfferLifetime = absl::Hours(24 * 90);
constexpr size_t kDevicesPerChange = 256;
// What every device and node has had since it came, before any rotation.
constexpr uint32_t kFirstEpoch = 1;

}  // namespace

absl::StatusOr<records::v1::Credential> IssueDeviceCredential(
    Transaction& tx, const PlaneKeys& keys, const std::string& fleet_id,
    const std::string& public_key, const std::string& device_id, absl::Time now,
    absl::Duration lifetime) {
  SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
  plane.set_credential_serial(plane.credential_serial() + 1);
  tx.Put(kMeta, "identity", plane);
  records::v1::CredentialBody body;
  body.set_public_key(public_key);
  body.set_subject_id(device_id);
  body.set_kind(records::v1::WRITER_CLASS_DEVICE);
  body.set_not_after(absl::ToUnixSeconds(now + lifetime));
  body.set_serial(plane.credential_serial());
  SHOAL_ASSIGN_OR_RETURN(
      records::v1::Credential credential,
      signing::IssueCredential(keys.device_ca, fleet_id, body));
  SHOAL_RETURN_IF_ERROR(LogCredential(tx, "device", body.subject_id(),
                                      body.serial(), credential));
  return credential;
}

// While a device changes its key, the credential for the next one is what is
// worth renewing.
bool Credentials::IsDue(const store::DeviceRow& row, absl::Time now) const {
  const auto body = signing::VerifyCredential(
      row.next_key().empty() ? row.credential() : row.next_credential(),
      {keys_.device_ca.public_key()}, writer_.fleet_id(), now);
  return !body.ok() ||
         absl::FromUnixSeconds(body->not_after()) - now < lifetime_ / 2;
}

absl::StatusOr<int> Credentials::RenewDue() {
  const absl::Time now = store_.clock().WallNow();
  SHOAL_ASSIGN_OR_RETURN(const uint32_t epoch, NewestEpoch(store_));
  std::vector<std::string> due;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DeviceRow>(
      kDevices, "", "", [&](std::string_view key, const store::DeviceRow& row) {
        if (row.device().state() == fleet::v1::ENROLMENT_STATE_ACCEPTED &&
            (IsDue(row, now) ||
             (epoch > kFirstEpoch && row.network_epoch() < epoch))) {
          due.emplace_back(key);
        }
        return true;
      }));
  for (size_t from = 0; from < due.size(); from += kDevicesPerChange) {
    Transaction tx(store_);
    const size_t end = std::min(from + kDevicesPerChange, due.size());
    for (size_t i = from; i < end; ++i) {
      SHOAL_RETURN_IF_ERROR(Renew(tx, due[i], now, epoch));
    }
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  if (!due.empty()) LogInfo("credentials_renewed", {{"devices", due.size()}});
  return static_cast<int>(due.size());
}

absl::Status Credentials::Issue(Transaction& tx, store::DeviceRow& row,
                                absl::Time now) const {
  const bool changing = !row.next_key().empty();
  std::string public_key = row.next_key();
  if (!changing) {
    SHOAL_ASSIGN_OR_RETURN(public_key, HexDecode(row.device().public_key()));
  }
  records::v1::Credential& credential =
      changing ? *row.mutable_next_credential() : *row.mutable_credential();
  SHOAL_ASSIGN_OR_RETURN(
      credential,
      IssueDeviceCredential(tx, keys_, writer_.fleet_id(), public_key,
                            row.assignment().device_id(), now, lifetime_));
  row.set_credential_used(false);
  tx.Audit("plane", "device.accept", row.device().name(), "ok",
           changing ? "credential for its next key" : "credential renewed");
  tx.AfterCommit([this, credential] { writers_.Add(credential); });
  return absl::OkStatus();
}

absl::Status Credentials::Offer(Transaction& tx, const std::string& key,
                                store::DeviceRow& row, uint32_t epoch) const {
  SHOAL_ASSIGN_OR_RETURN(const std::string box_key,
                         HexDecode(row.device().box_key()));
  pairing::v1::Grant grant;
  grant.set_device_id(row.assignment().device_id());
  *grant.mutable_credential() =
      row.next_key().empty() ? row.credential() : row.next_credential();
  // 400 bytes that a device has already, when it has used the credential.
  if (!row.credential_used()) {
    SHOAL_ASSIGN_OR_RETURN(*grant.mutable_certificate(),
                           DeviceCertificate(keys_, writer_.fleet_id(),
                                             grant.credential(), lifetime_));
  }
  if (epoch > kFirstEpoch) {
    SHOAL_ASSIGN_OR_RETURN(*grant.mutable_network(),
                           MemberAccess(store_, keys_));
    grant.mutable_network()->clear_place_key();  // it has that, for good
    row.set_network_epoch(epoch);
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string sealed,
                         crypto::SealTo(box_key, grant.SerializeAsString()));
  return writer_.Publish(tx, records::v1::RECORD_KIND_PAIR_GRANT, key, sealed,
                         kOfferLifetime, true);
}

absl::Status Credentials::Renew(Transaction& tx, const std::string& key,
                                absl::Time now, uint32_t epoch) {
  SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::DeviceRow>(kDevices, key));
  // Somebody may have taken it out of the fleet since the list was made.
  if (row.device().state() != fleet::v1::ENROLMENT_STATE_ACCEPTED) {
    return absl::OkStatus();
  }
  const auto box_key = HexDecode(row.device().box_key());
  if (const auto sealed = crypto::SealTo(box_key.value_or(""), "");
      !sealed.ok()) {
    // One device with a key that is none must not keep the others waiting.
    LogWarn("credential_not_offered",
            {{"device", key}, {"error", sealed.status()}});
    return absl::OkStatus();
  }
  if (IsDue(row, now)) SHOAL_RETURN_IF_ERROR(Issue(tx, row, now));
  SHOAL_RETURN_IF_ERROR(Offer(tx, key, row, epoch));
  tx.Put(kDevices, key, row);
  return absl::OkStatus();
}

absl::Status Credentials::OnReport(Transaction& tx,
                                   const dht::VerifiedRecord& record) {
  const std::string key = HexEncode(record.writer.id);
  auto row = tx.Get<store::DeviceRow>(kDevices, key);
  if (!row.ok()) return absl::OkStatus();  // Devices::OnReport says so
  if (HexEncode(record.writer.public_key) != row->device().public_key()) {
    return absl::OkStatus();  // as there
  }
  records::v1::DeviceReport report;
  if (!report.ParseFromString(record.body.payload())) return absl::OkStatus();
  const std::string newest = dht::CredentialDigest(
      row->next_key().empty() ? row->credential() : row->next_credential());
  const std::string used = record.body.has_credential()
                               ? dht::CredentialDigest(record.body.credential())
                               : record.body.credential_digest();
  const bool first_use = used == newest && !row->credential_used();
  // Nobody has a key that was never made; whoever says so must not be believed
  // when it is.
  const uint32_t epoch = std::min(report.network_epoch(), row->network_epoch());
  if (epoch > row->reported_epoch() || first_use) {
    row->set_reported_epoch(std::max(epoch, row->reported_epoch()));
    if (first_use) row->set_credential_used(true);
    tx.Put(kDevices, key, *row);
  }
  const bool keys_missing = row->network_epoch() > kFirstEpoch &&
                            row->reported_epoch() < row->network_epoch();
  if (used != newest || keys_missing) {
    return absl::OkStatus();
  }
  return writer_.Drop(tx, records::v1::RECORD_KIND_PAIR_GRANT, key);
}

}  // namespace shoal::server
