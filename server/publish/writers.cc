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
        if (row.device().state() == fleet::v1::ENROLMENT_STATE_DECOMMISSIONED) {
          auto key = HexDecode(row.device().public_key());
          if (key.ok()) writers->Refuse(*key);
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
      signing::ResolveWriter(view->fleet, view->policy, full, now));
  {
    std::lock_guard lock(mutex_);
    if (refused_.contains(writer.public_key)) {
      return PermissionDenied("revoked", "the device was decommissioned");
    }
  }
  return dht::Writer{writer.kind, std::move(writer.id),
                     std::move(writer.public_key)};
}

}  // namespace shoal::server
