#include "common/crypto/box.h"

#include <sodium.h>

#include <cstdio>
#include <cstdlib>

#include "common/crypto/sodium_init.h"
#include "common/status.h"

namespace shoal::crypto {
namespace {

static_assert(kBoxOverhead == crypto_box_SEALBYTES);
static_assert(kAeadOverhead == crypto_aead_xchacha20poly1305_ietf_ABYTES);

const unsigned char* Bytes(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}
unsigned char* Bytes(char* s) { return reinterpret_cast<unsigned char*>(s); }

void CheckLengths(std::string_view key, std::string_view nonce) {
  if (key.size() == kAeadKeySize && nonce.size() == kAeadNonceSize) return;
  fputs("broken invariant: length of an AEAD key or nonce\n", stderr);
  abort();
}

absl::Status NotDecryptable() {
  return DataLoss("not_decryptable",
                  "the ciphertext is not for this key or was changed");
}

}  // namespace

absl::StatusOr<std::string> SealTo(std::string_view public_key,
                                   std::string_view plaintext) {
  EnsureSodium();
  if (public_key.size() != kBoxKeySize)
    return InvalidArgument("bad_key", "an X25519 public key has 32 bytes");
  std::string sealed(plaintext.size() + kBoxOverhead, '\0');
  if (crypto_box_seal(Bytes(sealed.data()), Bytes(plaintext), plaintext.size(),
                      Bytes(public_key)) != 0)
    return InvalidArgument("bad_key", "the X25519 public key is not usable");
  return sealed;
}

absl::StatusOr<std::string> SealToSigner(std::string_view ed25519_public_key,
                                         std::string_view plaintext) {
  EnsureSodium();
  std::string public_key(kBoxKeySize, '\0');
  if (ed25519_public_key.size() != kEd25519PublicKeySize ||
      crypto_sign_ed25519_pk_to_curve25519(Bytes(public_key.data()),
                                           Bytes(ed25519_public_key)) != 0)
    return InvalidArgument("bad_key", "the ed25519 public key is not usable");
  return SealTo(public_key, plaintext);
}

absl::StatusOr<std::string> OpenAsSigner(const SigningKey& key,
                                         std::string_view sealed) {
  EnsureSodium();
  const SecretBytes seed = key.seed();
  std::string pair(seed.view());
  pair += key.public_key();  // libsodium's form of the secret key
  SecretBytes secret(kBoxKeySize);
  const int failed = crypto_sign_ed25519_sk_to_curve25519(
      Bytes(secret.data()), Bytes(std::string_view(pair)));
  Wipe(pair);
  if (failed != 0)
    return InvalidArgument("bad_key", "the ed25519 key is not usable");
  SHOAL_ASSIGN_OR_RETURN(const BoxKey box, BoxKey::FromSecret(secret));
  return box.Open(sealed);
}

BoxKey BoxKey::Generate() {
  EnsureSodium();
  SecretBytes secret(kBoxKeySize);
  std::string public_key(kBoxKeySize, '\0');
  crypto_box_keypair(Bytes(public_key.data()), Bytes(secret.data()));
  return BoxKey(std::move(secret), std::move(public_key));
}

absl::StatusOr<BoxKey> BoxKey::FromSecret(const SecretBytes& secret) {
  EnsureSodium();
  if (secret.size() != kBoxKeySize)
    return InvalidArgument("bad_key", "an X25519 secret key has 32 bytes");
  std::string public_key(kBoxKeySize, '\0');
  crypto_scalarmult_base(Bytes(public_key.data()), Bytes(secret.view()));
  return BoxKey(secret.Clone(), std::move(public_key));
}

absl::StatusOr<std::string> BoxKey::Open(std::string_view sealed) const {
  if (sealed.size() < kBoxOverhead) return NotDecryptable();
  std::string plaintext(sealed.size() - kBoxOverhead, '\0');
  if (crypto_box_seal_open(Bytes(plaintext.data()), Bytes(sealed),
                           sealed.size(), Bytes(public_key_),
                           Bytes(secret_.view())) != 0)
    return NotDecryptable();
  return plaintext;
}

std::string AeadSeal(std::string_view key, std::string_view nonce24,
                     std::string_view ad, std::string_view plaintext) {
  EnsureSodium();
  CheckLengths(key, nonce24);
  std::string ciphertext(plaintext.size() + kAeadOverhead, '\0');
  crypto_aead_xchacha20poly1305_ietf_encrypt(
      Bytes(ciphertext.data()), nullptr, Bytes(plaintext), plaintext.size(),
      Bytes(ad), ad.size(), nullptr, Bytes(nonce24), Bytes(key));
  return ciphertext;
}

absl::StatusOr<std::string> AeadOpen(std::string_view key,
                                     std::string_view nonce24,
                                     std::string_view ad,
                                     std::string_view ciphertext) {
  EnsureSodium();
  CheckLengths(key, nonce24);
  if (ciphertext.size() < kAeadOverhead) return NotDecryptable();
  std::string plaintext(ciphertext.size() - kAeadOverhead, '\0');
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(
          Bytes(plaintext.data()), nullptr, nullptr, Bytes(ciphertext),
          ciphertext.size(), Bytes(ad), ad.size(), Bytes(nonce24),
          Bytes(key)) != 0)
    return NotDecryptable();
  return plaintext;
}

}  // namespace shoal::crypto
