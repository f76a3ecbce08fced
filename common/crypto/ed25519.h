// Ed25519 signatures (RFC 8032). Strict verification: points of small order
// and non-canonical signatures are refused.
//
// Everything Shoal signs outside TUF metadata covers a domain and a fleet, so
// that no signature is valid in another place or another fleet (T21):
//
//   SigningInput = length(domain) as 2 bytes, big endian
//                ‖ domain (ASCII, such as "shoal.record.v1")
//                ‖ fleet id (32 bytes)
//                ‖ body (the rest)
#ifndef SHOAL_COMMON_CRYPTO_ED25519_H_
#define SHOAL_COMMON_CRYPTO_ED25519_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/crypto/secret.h"

namespace shoal::crypto {

inline constexpr size_t kEd25519PublicKeySize = 32;
inline constexpr size_t kEd25519SeedSize = 32;
inline constexpr size_t kEd25519SignatureSize = 64;

// A secret key. Move only; signing is const and thread-safe.
class SigningKey {
 public:
  static SigningKey Generate();
  // kInvalidArgument "bad_key" unless the seed has 32 bytes.
  static absl::StatusOr<SigningKey> FromSeed(const SecretBytes& seed);

  SigningKey(SigningKey&&) noexcept = default;
  SigningKey& operator=(SigningKey&&) noexcept = default;

  const std::string& public_key() const { return public_key_; }  // 32 bytes
  std::string Sign(std::string_view message) const;              // 64 bytes
  // The 32 bytes to keep (in a key file only).
  SecretBytes seed() const;
  SigningKey Clone() const;

 private:
  SigningKey(SecretBytes secret, std::string public_key)
      : secret_(std::move(secret)), public_key_(std::move(public_key)) {}
  SecretBytes secret_;  // libsodium's 64 bytes: seed ‖ public key
  std::string public_key_;
};

// False for wrong lengths too. Thread-safe.
bool Ed25519Verify(std::string_view public_key, std::string_view message,
                   std::string_view signature);

// See above. `domain` has at most 65,535 bytes and `fleet_id` exactly 32:
// anything else is a broken invariant and aborts.
std::string SigningInput(std::string_view domain, std::string_view fleet_id,
                         std::string_view body);

}  // namespace shoal::crypto

#endif  // SHOAL_COMMON_CRYPTO_ED25519_H_
