#include "dht/node/writer_resolver.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/status.h"
#include "signing/verify/credential.h"
#include "signing/verify/writer.h"

namespace shoal::dht::node {

absl::StatusOr<std::shared_ptr<const TrustView>> TrustView::Make(
    signing::FleetTrust trust) {
  std::shared_ptr<TrustView> view(new TrustView(std::move(trust)));
  SHOAL_ASSIGN_OR_RETURN(view->policy_, signing::PolicyOf(view->trust_));
  const auto& revoked = view->trust_.revoked_operator_keys;
  for (const policy::v1::Operator& entry : view->policy_.operators()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string key,
                           HexDecode(entry.public_key()));
    if (std::find(revoked.begin(), revoked.end(), key) != revoked.end())
      continue;
    if (entry.tls_spki_sha256().empty() || entry.roles().empty()) continue;
    SHOAL_ASSIGN_OR_RETURN(std::string spki,
                           HexDecode(entry.tls_spki_sha256()));
    view->operator_tls_.insert(std::move(spki));
  }
  return std::shared_ptr<const TrustView>(std::move(view));
}

bool TrustView::OperatorTls(std::string_view spki_sha256) const {
  return operator_tls_.find(spki_sha256) != operator_tls_.end();
}

absl::StatusOr<Writer> TrustView::Resolve(const RecordBody& body,
                                          absl::Time now) const {
  SHOAL_ASSIGN_OR_RETURN(auto writer,
                         signing::ResolveWriter(trust_, policy_, body, now));
  return Writer{writer.kind, std::move(writer.id),
                std::move(writer.public_key)};
}

absl::StatusOr<Writer> TrustView::ResolveKept(const RecordBody& body,
                                              absl::Time now) const {
  SHOAL_ASSIGN_OR_RETURN(
      auto writer, signing::ResolveKeptWriter(trust_, policy_, body, now));
  return Writer{writer.kind, std::move(writer.id),
                std::move(writer.public_key)};
}

absl::Status TrustView::VerifyNode(const records::v1::Credential& credential,
                                   absl::Time now) const {
  SHOAL_ASSIGN_OR_RETURN(const auto body,
                         signing::VerifyCredential(credential, trust_, now));
  if (body.kind() != records::v1::WRITER_CLASS_NODE) {
    return PermissionDenied("wrong_credential_kind", "not a node's credential");
  }
  return absl::OkStatus();
}

// A key that is superseded now makes nothing pass that was refused before.
bool TrustView::SameWriters(const TrustView& other) const {
  return trust_.device_ca_keys == other.trust_.device_ca_keys &&
         trust_.node_ca_keys == other.trust_.node_ca_keys &&
         trust_.director_keys == other.trust_.director_keys &&
         trust_.policy_json == other.trust_.policy_json &&
         trust_.revoked_device_ids == other.trust_.revoked_device_ids &&
         trust_.manufacturers == other.trust_.manufacturers &&
         trust_.revoked_node_keys == other.trust_.revoked_node_keys &&
         trust_.revoked_device_ca_keys == other.trust_.revoked_device_ca_keys;
}

WriterResolver MakeResolver(
    std::function<std::shared_ptr<const TrustView>()> view,
    std::function<std::optional<records::v1::Credential>(std::string_view)>
        find_credential,
    Arrival arrival) {
  return [view = std::move(view), find = std::move(find_credential), arrival](
             const RecordBody& body, absl::Time now) -> absl::StatusOr<Writer> {
    const auto resolve = [&](const RecordBody& whole) {
      return arrival == Arrival::kKept ? view()->ResolveKept(whole, now)
                                       : view()->Resolve(whole, now);
    };
    if (body.credential_digest().empty()) return resolve(body);
    auto credential = find(body.credential_digest());
    if (!credential.has_value()) {
      return NotFound("unknown_credential",
                      "the credential of this digest was never seen in full");
    }
    RecordBody full = body;
    *full.mutable_credential() = std::move(*credential);
    return resolve(full);
  };
}

}  // namespace shoal::dht::node
