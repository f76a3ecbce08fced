// Encryption to a recipient and under a shared key. All functions are
// thread-safe.
#ifndef SHOAL_COMMON_CRYPTO_BOX_H_
#define SHOAL_COMMON_CRYPTO_BOX_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/secret.h"

namespace shoal::crypto {

inline constexpr size_t kBoxKeySize = 32;   // X25519, public and secret
inline constexpr size_t kBoxOverhead = 48;  // sealed − plain
inline constexpr size_t kAeadKeySize = 32;
inline constexpr size_t kAeadNonceSize = 24;
inline constexpr size_t kAeadOverhead = 16;  // tag

// libsodium's sealed box: a fresh X25519 key, then XSalsa20-Poly1305. It hides
// who sealed; whoever needs the sender signs the plaintext, with the recipient
// inside the signature (T54). kInvalidArgument "bad_key" for a public key that
// has not 32 bytes or is of small order.
absl::StatusOr<std::string> SealTo(std::string_view public_key,
                                   std::string_view plaintext);

// The recipient's secret key. Move only; Open is const and thread-safe.
class BoxKey {
 public:
  static BoxKey Generate();
  // kInvalidArgument "bad_key" unless the secret has 32 bytes.
  static absl::StatusOr<BoxKey> FromSecret(const SecretBytes& secret);

  BoxKey(BoxKey&&) noexcept = default;
  BoxKey& operator=(BoxKey&&) noexcept = default;

  const std::string& public_key() const { return public_key_; }
  const SecretBytes& secret() const { return secret_; }
  // kDataLoss "not_decryptable": not for this key, or changed on the way.
  absl::StatusOr<std::string> Open(std::string_view sealed) const;

 private:
  BoxKey(SecretBytes secret, std::string public_key)
      : secret_(std::move(secret)), public_key_(std::move(public_key)) {}
  SecretBytes secret_;
  std::string public_key_;
};

// The same to whoever holds an ed25519 key and no other: sealed to its X25519
// form (libsodium's birational map). "bad_key"; "not_decryptable".
absl::StatusOr<std::string> SealToSigner(std::string_view ed25519_public_key,
                                         std::string_view plaintext);
absl::StatusOr<std::string> OpenAsSigner(const SigningKey& key,
                                         std::string_view sealed);

// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). key: 32 bytes, nonce: 24,
// never the same nonce twice under one key (RandomBytes(24) is fine); other
// lengths are a broken invariant and abort. `ad` is authenticated, not
// carried. Ciphertext: as long as the plaintext plus 16.
std::string AeadSeal(std::string_view key, std::string_view nonce24,
                     std::string_view ad, std::string_view plaintext);
// kDataLoss "not_decryptable".
absl::StatusOr<std::string> AeadOpen(std::string_view key,
                                     std::string_view nonce24,
                                     std::string_view ad,
                                     std::string_view ciphertext);

}  // namespace shoal::crypto

#endif  // SHOAL_COMMON_CRYPTO_BOX_H_
