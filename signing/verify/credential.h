// Compact credentials (proto/shoal/records/v1/credential.proto): a CA of the
// fleet says whose key this is.
#ifndef SHOAL_SIGNING_VERIFY_CREDENTIAL_H_
#define SHOAL_SIGNING_VERIFY_CREDENTIAL_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shoal/records/v1/credential.pb.h"
#include "signing/verify/fleet_trust.h"
#include "signing/verify/seen_signatures.h"

namespace shoal::signing {

inline constexpr std::string_view kCredentialDomain = "shoal.credential.v1";
inline constexpr size_t kMaxCredentialBytes = 256;

// Signature by one of `ca_keys` (raw ed25519) over the body as received, form
// and expiry. The *caller* must know that these CAs may issue this kind; the
// overload below does. Reasons: "bad_credential" (kInvalidArgument),
// "bad_signature" (kPermissionDenied), "expired_credential"
// (kFailedPrecondition). With `seen`, a signature that it knows is not computed
// again. Thread-safe.
absl::StatusOr<records::v1::CredentialBody> VerifyCredential(
    const records::v1::Credential& credential,
    const std::vector<std::string>& ca_keys, std::string_view fleet_id,
    absl::Time now, SeenSignatures* seen = nullptr);

// Picks the CA by the kind: device, claim and door by the device CA, node by
// the node CA, applicant by the door that it carries, factory by the
// manufacturers; anything else "wrong_credential_kind" (kPermissionDenied): a
// stolen online CA can't make an operator. Keys and CAs that the policy
// revokes, and devices that the director took out of the fleet: "revoked"; a
// key that its device has replaced: "superseded_key" (both kPermissionDenied).
absl::StatusOr<records::v1::CredentialBody> VerifyCredential(
    const records::v1::Credential& credential, const FleetTrust& trust,
    absl::Time now);
// The same for what was signed at `signed_at` and reached the reader, or one
// that it believes, in time: a key that was superseded later was good then.
// Anybody can write an earlier date: for what arrives now, use the one above.
absl::StatusOr<records::v1::CredentialBody> VerifyKeptCredential(
    const records::v1::Credential& credential, const FleetTrust& trust,
    absl::Time signed_at, absl::Time now, SeenSignatures* seen = nullptr);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_CREDENTIAL_H_
