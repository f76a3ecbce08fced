#include "dht/node/writer_resolver.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/status.h"
#include "shoal/policy/v1/policy.pb.h"
#include "signing/verify/credential.h"

namespace shoal::dht::node {
namespace {

bool Contains(const std::vector<std::string>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TrustView>> TrustView::Make(
    signing::FleetTrust trust) {
  policy::v1::AccessPolicy policy;
  if (!trust.policy_json.empty()) {
    const auto status =
        google::protobuf::util::JsonStringToMessage(trust.policy_json, &policy);
    if (!status.ok()) return InvalidArgument("bad_policy", status.ToString());
  }
  std::shared_ptr<TrustView> view(new TrustView(std::move(trust)));
  for (const policy::v1::Operator& entry : policy.operators()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string key,
                           HexDecode(entry.public_key()));
    if (Contains(view->trust_.revoked_operator_keys, key)) continue;
    view->operators_[key] = entry.name();
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
  if (body.has_credential()) {
    SHOAL_ASSIGN_OR_RETURN(
        const auto credential,
        signing::VerifyCredential(body.credential(), trust_, now));
    return Writer{credential.kind(), credential.subject_id(),
                  credential.public_key()};
  }
  const std::string& key = body.writer_key();
  if (Contains(trust_.director_keys, key)) {
    return Writer{records::v1::WRITER_CLASS_DIRECTOR, HexEncode(key), key};
  }
  if (operators_.contains(key)) {
    return Writer{records::v1::WRITER_CLASS_OPERATOR, HexEncode(key), key};
  }
  if (Contains(trust_.revoked_operator_keys, key)) {
    return PermissionDenied("revoked", "the policy revokes this operator key");
  }
  return PermissionDenied("wrong_writer",
                          "the key is neither a director's nor an operator's");
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

bool TrustView::SameWriters(const TrustView& other) const {
  return trust_.device_ca_keys == other.trust_.device_ca_keys &&
         trust_.node_ca_keys == other.trust_.node_ca_keys &&
         trust_.director_keys == other.trust_.director_keys &&
         operators_ == other.operators_ &&
         trust_.revoked_node_keys == other.trust_.revoked_node_keys &&
         trust_.revoked_device_ca_keys == other.trust_.revoked_device_ca_keys;
}

WriterResolver MakeResolver(
    std::function<std::shared_ptr<const TrustView>()> view,
    std::function<std::optional<records::v1::Credential>(std::string_view)>
        find_credential) {
  return [view = std::move(view), find = std::move(find_credential)](
             const RecordBody& body, absl::Time now) -> absl::StatusOr<Writer> {
    if (body.credential_digest().empty()) return view()->Resolve(body, now);
    auto credential = find(body.credential_digest());
    if (!credential.has_value()) {
      return NotFound("unknown_credential",
                      "the credential of this digest was never seen in full");
    }
    RecordBody full = body;
    *full.mutable_credential() = std::move(*credential);
    return view()->Resolve(full, now);
  };
}

}  // namespace shoal::dht::node
