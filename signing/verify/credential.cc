#include "signing/verify/credential.h"

#include <algorithm>

#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/verify/entry_credential.h"

namespace shoal::signing {
namespace {

using records::v1::Credential;
using records::v1::CredentialBody;

absl::Status Bad(std::string_view what) {
  return InvalidArgument("bad_credential", what);
}

bool Contains(const std::vector<std::string>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

absl::StatusOr<CredentialBody> ParseBody(const Credential& credential) {
  CredentialBody body;
  if (credential.body().size() > kMaxCredentialBytes ||
      !body.ParseFromString(credential.body()))
    return Bad("the credential's body does not parse");
  if (body.public_key().size() != crypto::kEd25519PublicKeySize ||
      body.subject_id().size() != 16)
    return Bad("the credential's key or subject has the wrong length");
  return body;
}

}  // namespace

absl::StatusOr<CredentialBody> VerifyCredential(
    const Credential& credential, const std::vector<std::string>& ca_keys,
    std::string_view fleet_id, absl::Time now, SeenSignatures* seen) {
  if (fleet_id.size() != crypto::kSha256Size)
    return InvalidArgument("bad_fleet_id", "a fleet id has 32 bytes");
  SHOAL_ASSIGN_OR_RETURN(CredentialBody body, ParseBody(credential));
  const std::string input =
      crypto::SigningInput(kCredentialDomain, fleet_id, credential.body());
  if (std::none_of(ca_keys.begin(), ca_keys.end(), [&](const auto& key) {
        return seen == nullptr
                   ? crypto::Ed25519Verify(key, input, credential.signature())
                   : seen->Verify(key, input, credential.signature());
      }))
    return PermissionDenied("bad_signature",
                            "no CA of this fleet signed the credential");
  if (now >= absl::FromUnixSeconds(body.not_after()))
    return FailedPrecondition("expired_credential",
                              "the credential has expired");
  return body;
}

absl::StatusOr<CredentialBody> VerifyCredential(const Credential& credential,
                                                const FleetTrust& trust,
                                                absl::Time now) {
  return VerifyKeptCredential(credential, trust, absl::InfiniteFuture(), now);
}

absl::StatusOr<CredentialBody> VerifyKeptCredential(
    const Credential& credential, const FleetTrust& trust, absl::Time signed_at,
    absl::Time now, SeenSignatures* seen) {
  SHOAL_ASSIGN_OR_RETURN(const CredentialBody body, ParseBody(credential));
  const std::vector<std::string>* ca = nullptr;
  switch (body.kind()) {
    case records::v1::WRITER_CLASS_DEVICE:
    case records::v1::WRITER_CLASS_CLAIM:
    case records::v1::WRITER_CLASS_DOOR:
      ca = &trust.device_ca_keys;
      break;
    case records::v1::WRITER_CLASS_APPLICANT:
      return VerifyApplicant(credential, trust, now);
    case records::v1::WRITER_CLASS_FACTORY: {
      SHOAL_ASSIGN_OR_RETURN(FactoryProof proof,
                             VerifyFactory(credential, trust, now));
      return std::move(proof.body);
    }
    case records::v1::WRITER_CLASS_NODE:
      ca = &trust.node_ca_keys;
      break;
    default:
      return PermissionDenied("wrong_credential_kind",
                              "no CA may issue a credential of this kind");
  }
  auto verified = VerifyCredential(credential, *ca, trust.fleet_id, now, seen);
  if (verified.ok() && body.kind() == records::v1::WRITER_CLASS_NODE &&
      Contains(trust.revoked_node_keys, body.public_key()))
    return PermissionDenied("revoked",
                            "the access policy revokes this node's key");
  if (verified.ok() && body.kind() == records::v1::WRITER_CLASS_DEVICE &&
      trust.revoked_device_ids.contains(body.subject_id()))
    return PermissionDenied("revoked", "the device was decommissioned");
  if (verified.ok() && body.kind() == records::v1::WRITER_CLASS_DEVICE) {
    const auto since = SupersededSince(trust, body.public_key());
    if (since && signed_at > *since)
      return PermissionDenied("superseded_key",
                              "the device has replaced this key");
  }
  return verified;
}

}  // namespace shoal::signing
