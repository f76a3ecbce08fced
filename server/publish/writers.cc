#include "server/publish/writers.h"

#include <utility>

#include "common/bytes.h"
#include "server/store/state.pb.h"
#include "signing/verify/writer.h"

namespace shoal::server {

absl::StatusOr<std::unique_ptr<Writers>> Writers::Open(
    const Store& store, const TrustRepository& trust) {
  std::unique_ptr<Writers> writers(new Writers(trust));
  SHOAL_RETURN_IF_ERROR(store.Scan<store::DeviceRow>(
      kDevices, "", "", [&](std::string_view, const store::DeviceRow& row) {
        writers->Add(row.credential());
        if (row.has_next_credential()) writers->Add(row.next_credential());
        for (const auto& one : row.superseded()) writers->Supersede(one);
        if (row.device().state() == fleet::v1::ENROLMENT_STATE_DECOMMISSIONED) {
          writers->RefuseDevice(row);
        }
        return true;
      }));
  SHOAL_RETURN_IF_ERROR(store.Scan<store::NodeRow>(
      kNodes, "", "", [&](std::string_view, const store::NodeRow& row) {
        writers->Add(row.credential());
        return true;
      }));
  return writers;
}

void Writers::Add(const records::v1::Credential& credential) {
  std::lock_guard lock(mutex_);
  by_digest_[dht::CredentialDigest(credential)] = credential;
}

void Writers::Refuse(const std::string& public_key) {
  std::lock_guard lock(mutex_);
  refused_.insert(public_key);
}

void Writers::RefuseDevice(const store::DeviceRow& row) {
  if (const auto key = HexDecode(row.device().public_key()); key.ok()) {
    Refuse(*key);
  }
  if (!row.next_key().empty()) Refuse(row.next_key());
  for (const auto& one : row.superseded()) Refuse(one.key());
}

void Writers::Supersede(const store::DeviceRow::SupersededKey& key) {
  const absl::Time until = absl::FromUnixMillis(key.until());
  // The date of the change is the device's word, that of learning is not.
  const absl::Time learned =
      key.learned_at() > 0 ? absl::FromUnixSeconds(key.learned_at()) : until;
  std::lock_guard lock(mutex_);
  superseded_[key.key()] = {until, learned + kSupersededGrace};
}

dht::WriterResolver Writers::Resolver() const {
  return [this](const dht::RecordBody& body, absl::Time now) {
    return Resolve(body, now);
  };
}

absl::StatusOr<dht::Writer> Writers::Resolve(const dht::RecordBody& body,
                                             absl::Time now) const {
  const auto view = trust_.View();
  if (!view) return Unavailable("no_trust", "no trust is loaded");
  dht::RecordBody full = body;
  if (body.has_credential_digest()) {
    std::lock_guard lock(mutex_);
    const auto it = by_digest_.find(body.credential_digest());
    if (it != by_digest_.end()) *full.mutable_credential() = it->second;
  }
  SHOAL_ASSIGN_OR_RETURN(
      auto writer,
      signing::ResolveWriter(view->fleet, view->policy, full, now, &seen_));
  {
    std::lock_guard lock(mutex_);
    if (refused_.contains(writer.public_key)) {
      return PermissionDenied("revoked", "the device was decommissioned");
    }
    if (const auto it = superseded_.find(writer.public_key);
        it != superseded_.end() &&
        (absl::FromUnixMillis(body.issued()) > it->second.until ||
         now > it->second.taken_before)) {
      return PermissionDenied("superseded_key",
                              "the device has replaced this key");
    }
  }
  return dht::Writer{writer.kind, std::move(writer.id),
                     std::move(writer.public_key)};
}

}  // namespace shoal::server
