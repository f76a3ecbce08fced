#include "agent/link/trust.h"

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/verify/credential.h"

namespace shoal::agent {
namespace {

using records::v1::RecordBody;

bool Contains(const std::vector<std::string>& keys, const std::string& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

dht::Writer KeyWriter(records::v1::WriterClass kind, const std::string& key) {
  return {kind, crypto::Sha256Digest(key).substr(0, 16), key};
}

bool CheckedOtherwise(records::v1::RecordKind kind) {
  return kind == records::v1::RECORD_KIND_METADATA ||
         kind == records::v1::RECORD_KIND_HEAD ||
         kind == records::v1::RECORD_KIND_DOCUMENT ||
         kind == records::v1::RECORD_KIND_PAIR_OFFER ||
         kind == records::v1::RECORD_KIND_PAIR_GRANT;
}

absl::StatusOr<dht::Writer> ResolveKey(const TrustView* view,
                                       const RecordBody& body) {
  const std::string& key = body.writer_key();
  if (view == nullptr) {
    if (CheckedOtherwise(body.kind()))
      return KeyWriter(records::v1::WRITER_CLASS_DIRECTOR, key);
    return FailedPrecondition("no_trust", "no metadata was verified yet");
  }
  if (Contains(view->trust.director_keys, key))
    return KeyWriter(records::v1::WRITER_CLASS_DIRECTOR, key);
  if (Contains(view->trust.revoked_operator_keys, key))
    return PermissionDenied("revoked", "the operator's key is revoked");
  if (rules::FindOperatorByKey(view->policy, key) != nullptr)
    return KeyWriter(records::v1::WRITER_CLASS_OPERATOR, key);
  // A new director key is known only once the metadata that names it has been
  // fetched, and that metadata proves itself.
  if (body.kind() == records::v1::RECORD_KIND_METADATA ||
      body.kind() == records::v1::RECORD_KIND_HEAD)
    return KeyWriter(records::v1::WRITER_CLASS_DIRECTOR, key);
  return PermissionDenied("unknown_writer",
                          "neither a director nor an operator of this fleet");
}

}  // namespace

absl::StatusOr<TrustView> MakeTrustView(signing::FleetTrust trust,
                                        absl::Time time_floor) {
  TrustView view;
  view.time_floor = time_floor;
  if (!trust.policy_json.empty()) {
    SHOAL_ASSIGN_OR_RETURN(view.policy, rules::ParsePolicy(trust.policy_json));
    view.policy_sha256 = crypto::Sha256Digest(trust.policy_json);
  }
  view.trust = std::move(trust);
  return view;
}

dht::WriterResolver MakeResolver(std::shared_ptr<const TrustHolder> holder) {
  auto inner = [holder = std::move(holder)](
                   const RecordBody& body,
                   absl::Time now) -> absl::StatusOr<dht::Writer> {
    const std::shared_ptr<const TrustView> view = holder->Get();
    switch (body.writer_case()) {
      case RecordBody::kWriterKey:
        return ResolveKey(view.get(), body);
      case RecordBody::kCredential: {
        if (!view)
          return FailedPrecondition("no_trust", "no metadata was verified yet");
        SHOAL_ASSIGN_OR_RETURN(
            const records::v1::CredentialBody credential,
            signing::VerifyCredential(body.credential(), view->trust,
                                      std::max(now, view->time_floor)));
        return dht::Writer{credential.kind(), credential.subject_id(),
                           credential.public_key()};
      }
      default:
        return PermissionDenied("unknown_writer", "the record names no writer");
    }
  };
  return dht::CachingResolver(std::move(inner), 1024);
}

}  // namespace shoal::agent
