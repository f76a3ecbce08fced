// Signatures by keys in PEM (SubjectPublicKeyInfo, RFC 7468), as TUF
// repositories of other people have them. A library of its own
// (shoal::crypto_pem): what a device links cannot verify these.
#ifndef SHOAL_COMMON_CRYPTO_PEM_SIGNATURE_H_
#define SHOAL_COMMON_CRYPTO_PEM_SIGNATURE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace shoal::crypto {

enum class PemScheme {
  kEcdsaP256Sha256,  // FIPS 186-4, signature in DER
  kRsaPssSha256,     // RFC 8017, MGF1 with SHA-256, salt of any length
};

inline constexpr size_t kMaxPemBytes = 8192;
inline constexpr int kMinRsaBits = 2048;
inline constexpr int kMaxRsaBits = 8192;  // beyond, one check takes seconds

// The key in DER with an uncompressed point: equal keys give equal bytes,
// whatever their PEM looks like. kInvalidArgument "bad_key" for what is no
// public key of the scheme, or too long, or an RSA key outside the limits.
// Thread-safe.
absl::StatusOr<std::string> PemKeyToDer(PemScheme scheme, std::string_view pem);

// `der` is what PemKeyToDer gave. False for anything that does not verify.
// Thread-safe.
bool VerifyWithDerKey(PemScheme scheme, std::string_view der,
                      std::string_view message, std::string_view signature);

}  // namespace shoal::crypto

#endif  // SHOAL_COMMON_CRYPTO_PEM_SIGNATURE_H_
