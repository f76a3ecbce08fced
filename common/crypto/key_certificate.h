// X.509 for ed25519 keys that exist already: the second form of a device's
// credential (docs/pairing.md, "For TLS with others"). RFC 8410 keys and
// signatures in RFC 5280 certificates. Functions are thread-safe; errors are
// kInvalidArgument "bad_certificate" unless said otherwise.
#ifndef SHOAL_COMMON_CRYPTO_KEY_CERTIFICATE_H_
#define SHOAL_COMMON_CRYPTO_KEY_CERTIFICATE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/secret.h"

namespace shoal::crypto {

inline constexpr size_t kMaxCertificateDer = 2048;

struct KeyCertificateName {
  std::string organization;  // 1..64 bytes, UTF-8
  std::string common_name;   // 1..64 bytes, UTF-8
};

// DER of the self-signed CA certificate (path length 0, no well-defined end) of
// `ca`: the same bytes for the same arguments, whenever it is made.
absl::StatusOr<std::string> MakeKeyCa(const SigningKey& ca,
                                      const KeyCertificateName& name);

struct KeyCertificateRequest {
  std::string public_key;  // ed25519, 32 bytes
  KeyCertificateName name;
  std::string uri;  // subject alternative name
  uint64_t serial = 0;
  absl::Time not_before;
  absl::Time not_after;
};

// DER of a client's certificate (extended key usage clientAuth) by `ca`, whose
// own certificate is MakeKeyCa(ca, issuer). The same bytes for the same
// arguments.
absl::StatusOr<std::string> IssueKeyCertificate(
    const SigningKey& ca, const KeyCertificateName& issuer,
    const KeyCertificateRequest& request);

// Whether the key `ca_key` signed `der`, and for the key `public_key` (both
// ed25519, 32 bytes). kPermissionDenied "bad_signature" or "wrong_key".
absl::Status CheckKeyCertificate(std::string_view der, std::string_view ca_key,
                                 std::string_view public_key);

// The ed25519 key of a CA certificate in PEM, which must be signed by itself.
absl::StatusOr<std::string> KeyOfCa(std::string_view pem);

// A certification request (PKCS#10, PEM) for somebody else's CA.
absl::StatusOr<std::string> MakeCertificationRequest(
    const SigningKey& key, const KeyCertificateName& name,
    const std::string& uri);

std::string CertificatePem(std::string_view der);
// PKCS#8, unencrypted.
SecretBytes SigningKeyPem(const SigningKey& key);

}  // namespace shoal::crypto

#endif  // SHOAL_COMMON_CRYPTO_KEY_CERTIFICATE_H_
