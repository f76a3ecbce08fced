// X.509 for mutual TLS: ECDSA P-256 certificates (gRPC clients built on
// BoringSSL refuse ed25519) from the fleet's own CA. Everything is PEM text.
// Functions are thread-safe.
#ifndef SHOAL_COMMON_CRYPTO_X509_H_
#define SHOAL_COMMON_CRYPTO_X509_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/secret.h"

namespace shoal::crypto {

struct TlsKeyPair {
  SecretBytes key_pem;   // PKCS#8, unencrypted: keep it in a secret file
  std::string cert_pem;  // one certificate
};

struct CertificateRequest {
  std::string common_name;  // 1..64 bytes, UTF-8
  // Subject alternative names; IP addresses are recognised as such.
  std::vector<std::string> names;
  // Names a person or device: placed as URI subject alternative name, such as
  // "shoal:operator/alice". May be empty.
  std::string uri;
  bool server = false;  // extended key usage serverAuth
  bool client = false;  // extended key usage clientAuth
  absl::Time not_before;
  absl::Time not_after;
};

// PKCS#8 PEM of a fresh P-256 key.
SecretBytes GenerateP256KeyPem();

// A self-signed CA certificate (path length 0) with a fresh key.
absl::StatusOr<TlsKeyPair> MakeCertificateAuthority(
    const std::string& common_name, absl::Time not_before,
    absl::Time not_after);

// A leaf with a fresh key, signed by `ca`. kInvalidArgument "bad_certificate"
// for a bad name, lifetime or CA.
absl::StatusOr<TlsKeyPair> IssueCertificate(const TlsKeyPair& ca,
                                            const CertificateRequest& request);

// The same for a key that the subject keeps: `public_key_pem` is its
// SubjectPublicKeyInfo in PEM.
absl::StatusOr<std::string> IssueCertificateFor(
    const TlsKeyPair& ca, std::string_view public_key_pem,
    const CertificateRequest& request);

// SubjectPublicKeyInfo PEM of a private key.
absl::StatusOr<std::string> PublicKeyPem(const SecretBytes& key_pem);

// What a verified peer certificate says.
struct CertificateInfo {
  std::string common_name;
  std::vector<std::string> names;  // DNS names and IP addresses
  std::vector<std::string> uris;
  absl::Time not_before;
  absl::Time not_after;
  std::string spki_sha256;  // 32 bytes
};
// Reads, does not verify. kInvalidArgument "bad_certificate".
absl::StatusOr<CertificateInfo> ParseCertificate(std::string_view cert_pem);

// SHA-256 of the DER SubjectPublicKeyInfo (RFC 7469's pin): 32 bytes.
absl::StatusOr<std::string> SpkiSha256(std::string_view cert_pem);

}  // namespace shoal::crypto

#endif  // SHOAL_COMMON_CRYPTO_X509_H_
