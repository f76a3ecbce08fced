// Credentials of devices that no ticket names (docs/pairing.md): an
// applicant's, signed by the key of a bootstrap file, and a factory's, signed
// by a manufacturer that the fleet trusts. Both say whose key it is and nothing
// about membership.
#ifndef SHOAL_SIGNING_VERIFY_ENTRY_CREDENTIAL_H_
#define SHOAL_SIGNING_VERIFY_ENTRY_CREDENTIAL_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shoal/records/v1/credential.pb.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::signing {

inline constexpr std::string_view kFactoryDomain = "shoal.factory.v1";
inline constexpr size_t kMaxSerialNumberBytes = 64;

// First 16 bytes of SHA-256 of the key: the subject of both kinds.
std::string KeySubject(std::string_view public_key);

// What people compare: 128 bits of the key's digest, "XXXX-XXXX-…" in base32.
std::string FingerprintOf(std::string_view public_key);
// In the form of FingerprintOf; "" for what is none.
std::string NormalFingerprint(std::string_view text);
// Case, dashes and blanks are forgiven.
bool SameFingerprint(std::string_view a, std::string_view b);

// What a factory credential's signature covers. Any fleet can verify it.
std::string FactorySigningInput(std::string_view body);

// An applicant's credential: the door in it is a valid credential of this
// fleet's device CA and its key signed the rest. "bad_credential",
// "bad_signature", "expired_credential", as VerifyCredential. Thread-safe.
absl::StatusOr<records::v1::CredentialBody> VerifyApplicant(
    const records::v1::Credential& credential, const FleetTrust& trust,
    absl::Time now);

struct FactoryProof {
  records::v1::CredentialBody body;
  std::string manufacturer;  // its name in targets.json
};
// Reasons as above, and "unknown_manufacturer" (kPermissionDenied): nobody of
// trust.manufacturers signed it, or not for this device type.
absl::StatusOr<FactoryProof> VerifyFactory(
    const records::v1::Credential& credential, const FleetTrust& trust,
    absl::Time now);

// The key (32 bytes) and form of a factory credential, its signature by
// `manufacturer_key` included: for the factory and for the device itself, which
// know no fleet. "bad_credential", "bad_signature".
absl::StatusOr<records::v1::CredentialBody> CheckFactory(
    const records::v1::Credential& credential,
    std::string_view manufacturer_key);

// Form alone: for a device that can't judge who signed. "bad_credential".
absl::StatusOr<records::v1::CredentialBody> ParseFactory(
    const records::v1::Credential& credential);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_ENTRY_CREDENTIAL_H_
