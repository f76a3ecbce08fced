// A device replaces its own key. It asks in a report that the old key signs,
// with a proof of both; it is given a credential for the new one where it looks
// anyway; and the old key is superseded by the first report under the new one.
// A row thus never depends on a key that the device may not have kept.
#include <algorithm>
#include <string>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/log.h"
#include "server/fleet/credentials.h"
#include "server/fleet/network_keys.h"
#include "server/fleet/report_order.h"
#include "signing/verify/entry_credential.h"
#include "signing/verify/key_change.h"

namespace shoal::server {
namespace {

// Of a device's report and the records that it signed just before: its clock
// may have been set in between.
constexpr absl::Duration kClockSlack = absl::Minutes(1);
// After that many, the credential of the oldest has run out in any honest life.
constexpr int kMaxSuperseded = 64;
constexpr int kMaxChanges = 2;
// Each key that is certified is an entry of the release log, for good.
constexpr absl::Duration kPause = absl::Minutes(10);

std::string KeyRow(const std::string& public_key) {
  return "key/" + HexEncode(public_key);
}

// The infinite past for what is no credential.
absl::Time EndOf(const records::v1::Credential& credential) {
  records::v1::CredentialBody body;
  if (!body.ParseFromString(credential.body())) return absl::InfinitePast();
  return absl::FromUnixSeconds(body.not_after());
}

// When a key was last certified for a change; the infinite past: never.
absl::Time LastCertified(const store::DeviceRow& row, absl::Duration lifetime) {
  const records::v1::Credential* last = nullptr;
  if (row.has_next_credential()) {
    last = &row.next_credential();
  } else if (row.superseded_size() > 0) {
    last = &row.credential();
  }
  return last == nullptr ? absl::InfinitePast() : EndOf(*last) - lifetime;
}

}  // namespace

// next_credential stays: it tells when it was given.
void Credentials::DropNextKey(Transaction& tx, const std::string& key,
                              store::DeviceRow& row) const {
  const auto pointer =
      tx.Get<store::DeviceKeyRow>(kDeviceKeys, KeyRow(row.next_key()));
  if (pointer.ok() && pointer->device() == key) {
    tx.Delete(kDeviceKeys, KeyRow(row.next_key()));
  }
  row.clear_next_key();
}

absl::Status Credentials::AskForKey(Transaction& tx, const std::string& key,
                                    store::DeviceRow& row,
                                    const std::string& new_key) {
  if (row.next_key() == new_key) return absl::OkStatus();
  // Another device's, or one that a device has given up.
  if (tx.Has(kDeviceKeys, KeyRow(new_key))) {
    LogWarn("key_change_refused", {{"device", key}, {"reason", "key_in_use"}});
    return absl::OkStatus();
  }
  const absl::Time now = store_.clock().WallNow();
  if (now - LastCertified(row, lifetime_) < kPause) {
    LogWarn("key_change_refused", {{"device", key}, {"reason", "too_soon"}});
    return absl::OkStatus();
  }
  // A report may name any box key: nothing can be sealed to some.
  if (!crypto::SealTo(HexDecode(row.device().box_key()).value_or(""), "")
           .ok()) {
    LogWarn("key_change_refused", {{"device", key}, {"reason", "bad_key"}});
    return absl::OkStatus();
  }
  if (!row.next_key().empty()) DropNextKey(tx, key, row);
  row.set_next_key(new_key);
  store::DeviceKeyRow pointer;
  pointer.set_device(key);
  tx.Put(kDeviceKeys, KeyRow(new_key), pointer);
  SHOAL_RETURN_IF_ERROR(Issue(tx, row, now));
  SHOAL_ASSIGN_OR_RETURN(const uint32_t epoch, NewestEpoch(store_));
  SHOAL_RETURN_IF_ERROR(Offer(tx, key, row, epoch));
  tx.Audit("device:" + key, "device.key", row.device().name(), "asked",
           signing::FingerprintOf(new_key));
  tx.AfterCommit([key, new_key] {
    LogInfo(
        "key_change_offered",
        {{"device", key}, {"fingerprint", signing::FingerprintOf(new_key)}});
  });
  return absl::OkStatus();
}

absl::Status Credentials::AdoptKey(Transaction& tx, const std::string& key,
                                   store::DeviceRow& row,
                                   const dht::VerifiedRecord& record) {
  const std::string& new_key = record.writer.public_key;
  // What the device signs with; the plane that certified it may have been set
  // back since.
  records::v1::Credential credential = record.body.credential();
  if (!record.body.has_credential()) {
    if (row.next_key() != new_key) return absl::OkStatus();
    credential = row.next_credential();
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string old_key,
                         HexDecode(row.device().public_key()));
  if (!row.next_key().empty() && row.next_key() != new_key) {
    DropNextKey(tx, key, row);
  }
  row.clear_next_key();
  row.clear_next_credential();
  // Whoever had the old key may have driven its numbers to the end.
  row.clear_report_version();
  const absl::Time now = store_.clock().WallNow();
  auto* superseded = row.add_superseded();
  superseded->set_key(old_key);
  superseded->set_until(record.body.issued() +
                        absl::ToInt64Milliseconds(kClockSlack));
  superseded->set_learned_at(absl::ToUnixSeconds(now));
  // The newest that it was given; the plane may have been set back since.
  superseded->set_not_after(
      absl::ToUnixSeconds(std::max(now + lifetime_, EndOf(row.credential()))));
  if (row.superseded_size() > kMaxSuperseded) {
    row.mutable_superseded()->DeleteSubrange(0, 1);
  }
  const store::DeviceRow::SupersededKey given_up = *superseded;
  *row.mutable_credential() = credential;
  row.set_credential_used(false);  // OnReport() says that it is
  row.mutable_device()->set_public_key(HexEncode(new_key));
  row.mutable_device()->set_fingerprint(signing::FingerprintOf(new_key));
  row.set_revision(row.revision() + 1);
  // The old key's own row stays: it comes in as nobody else.
  store::DeviceKeyRow pointer;
  pointer.set_device(key);
  tx.Put(kDeviceKeys, KeyRow(new_key), pointer);
  tx.Audit("device:" + key, "device.key", row.device().name(), "ok",
           signing::FingerprintOf(new_key));
  tx.AfterCommit([this, key, credential, given_up] {
    writers_.Add(credential);
    writers_.Supersede(given_up);
    LogInfo("key_changed", {{"device", key}});
    if (superseded_) superseded_();
  });
  return absl::OkStatus();
}

absl::Status Credentials::OnKeyChange(Transaction& tx,
                                      const dht::VerifiedRecord& record) {
  const std::string key = HexEncode(record.writer.id);
  auto row = tx.Get<store::DeviceRow>(kDevices, key);
  records::v1::DeviceReport report;
  if (!row.ok() || !report.ParseFromString(record.body.payload()) ||
      row->device().state() != fleet::v1::ENROLMENT_STATE_ACCEPTED) {
    return absl::OkStatus();
  }
  const std::string before = row->SerializeAsString();
  const std::string& signer = record.writer.public_key;
  const auto in_force = [&] {
    return HexDecode(row->device().public_key()).value_or("");
  };
  // Proven when the device asked for it, or now by the change itself.
  if (signer != in_force() && signer == row->next_key()) {
    SHOAL_RETURN_IF_ERROR(AdoptKey(tx, key, *row, record));
  }
  std::string wanted;
  for (int i = 0; i < std::min(report.key_changes_size(), kMaxChanges); ++i) {
    const records::v1::KeyChange& change = report.key_changes(i);
    if (change.old_key() != in_force()) continue;  // an old story
    if (const absl::Status proven = signing::VerifyKeyChange(
            change, writer_.fleet_id(), record.writer.id);
        !proven.ok()) {
      LogWarn("key_change_refused", {{"device", key}, {"error", proven}});
      continue;
    }
    if (change.old_key() == signer) {
      wanted = change.new_key();
    } else if (change.new_key() == signer) {
      SHOAL_RETURN_IF_ERROR(AdoptKey(tx, key, *row, record));
    }
  }
  if (signer == in_force() && IsNewerReport(*row, record.body)) {
    if (!wanted.empty()) {
      SHOAL_RETURN_IF_ERROR(AskForKey(tx, key, *row, wanted));
    } else if (!row->next_key().empty()) {
      // It does not ask any more: whoever did lost the key again.
      DropNextKey(tx, key, *row);
      SHOAL_RETURN_IF_ERROR(
          writer_.Drop(tx, records::v1::RECORD_KIND_PAIR_GRANT, key));
    }
  }
  if (row->SerializeAsString() != before) tx.Put(kDevices, key, *row);
  return absl::OkStatus();
}

}  // namespace shoal::server
