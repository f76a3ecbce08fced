#include "signing/verify/entry_credential.h"

#include <algorithm>
#include <cctype>

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/verify/credential.h"

namespace shoal::signing {
namespace {

using records::v1::Credential;
using records::v1::CredentialBody;

constexpr std::string_view kFingerprintDomain = "shoal.fingerprint.v1";
constexpr size_t kSubjectSize = 16;
constexpr size_t kFingerprintSize = 16;

absl::Status Bad(std::string_view what) {
  return InvalidArgument("bad_credential", what);
}

absl::StatusOr<CredentialBody> Parse(const Credential& credential,
                                     records::v1::WriterClass kind) {
  CredentialBody body;
  if (credential.body().size() > kMaxCredentialBytes ||
      !body.ParseFromString(credential.body()))
    return Bad("the credential's body does not parse");
  if (body.kind() != kind) return Bad("a credential of another kind");
  if (body.public_key().size() != crypto::kEd25519PublicKeySize ||
      body.subject_id() != KeySubject(body.public_key()))
    return Bad("the subject is not the key's");
  return body;
}

absl::Status CheckTime(const CredentialBody& body, absl::Time now) {
  if (now < absl::FromUnixSeconds(body.not_after())) return absl::OkStatus();
  return FailedPrecondition("expired_credential", "the credential has expired");
}

bool Makes(const Manufacturer& manufacturer, const std::string& device_type) {
  const auto& types = manufacturer.device_types;
  return types.empty() ||
         std::find(types.begin(), types.end(), device_type) != types.end();
}

std::string Grouped(std::string_view text) {
  std::string grouped;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i > 0 && i % 4 == 0) grouped += '-';
    grouped += text[i];
  }
  return grouped;
}

std::string Plain(std::string_view text) {
  std::string plain;
  for (const char c : text)
    if (c != '-' && !std::isspace(static_cast<unsigned char>(c)))
      plain += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return plain;
}

}  // namespace

std::string KeySubject(std::string_view public_key) {
  return crypto::Sha256Digest(public_key).substr(0, kSubjectSize);
}

std::string FingerprintOf(std::string_view public_key) {
  const std::string digest = crypto::Sha256Digest(
      std::string(kFingerprintDomain) + std::string(public_key));
  return Grouped(Base32Encode(digest.substr(0, kFingerprintSize)));
}

std::string NormalFingerprint(std::string_view text) {
  const auto bytes = Base32Decode(text);
  if (!bytes.ok() || bytes->size() != kFingerprintSize) return "";
  return Grouped(Base32Encode(*bytes));
}

bool SameFingerprint(std::string_view a, std::string_view b) {
  return Plain(a) == Plain(b);
}

std::string FactorySigningInput(std::string_view body) {
  return crypto::SigningInput(kFactoryDomain,
                              std::string(crypto::kSha256Size, '\0'), body);
}

absl::StatusOr<CredentialBody> VerifyApplicant(const Credential& credential,
                                               const FleetTrust& trust,
                                               absl::Time now) {
  SHOAL_ASSIGN_OR_RETURN(
      const CredentialBody body,
      Parse(credential, records::v1::WRITER_CLASS_APPLICANT));
  SHOAL_ASSIGN_OR_RETURN(
      const CredentialBody door,
      VerifyCredential(body.door(), trust.device_ca_keys, trust.fleet_id, now));
  if (door.kind() != records::v1::WRITER_CLASS_DOOR)
    return PermissionDenied("wrong_credential_kind",
                            "what vouches for the applicant is no door");
  SHOAL_RETURN_IF_ERROR(CheckTime(body, now));
  if (!crypto::Ed25519Verify(
          door.public_key(),
          crypto::SigningInput(kCredentialDomain, trust.fleet_id,
                               credential.body()),
          credential.signature()))
    return PermissionDenied("bad_signature",
                            "the door's key did not sign the credential");
  return body;
}

absl::StatusOr<CredentialBody> ParseFactory(const Credential& credential) {
  SHOAL_ASSIGN_OR_RETURN(const CredentialBody body,
                         Parse(credential, records::v1::WRITER_CLASS_FACTORY));
  if (body.serial_number().empty() ||
      body.serial_number().size() > kMaxSerialNumberBytes ||
      !IsIdentifier(body.device_type()))
    return Bad("serial number or device type of the factory credential");
  return body;
}

absl::StatusOr<CredentialBody> CheckFactory(const Credential& credential,
                                            std::string_view manufacturer_key) {
  SHOAL_ASSIGN_OR_RETURN(const CredentialBody body, ParseFactory(credential));
  if (!crypto::Ed25519Verify(manufacturer_key,
                             FactorySigningInput(credential.body()),
                             credential.signature()))
    return PermissionDenied("bad_signature",
                            "this manufacturer did not sign the credential");
  return body;
}

absl::StatusOr<FactoryProof> VerifyFactory(const Credential& credential,
                                           const FleetTrust& trust,
                                           absl::Time now) {
  SHOAL_ASSIGN_OR_RETURN(const CredentialBody body, ParseFactory(credential));
  const std::string input = FactorySigningInput(credential.body());
  for (const Manufacturer& one : trust.manufacturers) {
    if (!Makes(one, body.device_type()) ||
        !crypto::Ed25519Verify(one.key, input, credential.signature()))
      continue;
    if (body.not_after() != 0) SHOAL_RETURN_IF_ERROR(CheckTime(body, now));
    return FactoryProof{body, one.name};
  }
  return PermissionDenied("unknown_manufacturer",
                          "no manufacturer that the fleet trusts signed the "
                          "factory credential for this device type");
}

}  // namespace shoal::signing
