#include "common/crypto/ed25519.h"

#include <sodium.h>

#include <cstdio>
#include <cstdlib>

#include "common/bytes.h"
#include "common/crypto/sodium_init.h"
#include "common/status.h"

namespace shoal::crypto {
namespace {

const unsigned char* Bytes(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}
unsigned char* Bytes(char* s) { return reinterpret_cast<unsigned char*>(s); }

}  // namespace

SigningKey SigningKey::Generate() {
  EnsureSodium();
  SecretBytes secret(crypto_sign_SECRETKEYBYTES);
  std::string public_key(crypto_sign_PUBLICKEYBYTES, '\0');
  crypto_sign_keypair(Bytes(public_key.data()), Bytes(secret.data()));
  return SigningKey(std::move(secret), std::move(public_key));
}

absl::StatusOr<SigningKey> SigningKey::FromSeed(const SecretBytes& seed) {
  EnsureSodium();
  if (seed.size() != kEd25519SeedSize)
    return InvalidArgument("bad_key", "an ed25519 seed has 32 bytes");
  SecretBytes secret(crypto_sign_SECRETKEYBYTES);
  std::string public_key(crypto_sign_PUBLICKEYBYTES, '\0');
  crypto_sign_seed_keypair(Bytes(public_key.data()), Bytes(secret.data()),
                           Bytes(seed.view()));
  return SigningKey(std::move(secret), std::move(public_key));
}

std::string SigningKey::Sign(std::string_view message) const {
  std::string signature(kEd25519SignatureSize, '\0');
  crypto_sign_detached(Bytes(signature.data()), nullptr, Bytes(message),
                       message.size(), Bytes(secret_.view()));
  return signature;
}

SecretBytes SigningKey::seed() const {
  return SecretBytes(secret_.view().substr(0, kEd25519SeedSize));
}

SigningKey SigningKey::Clone() const {
  return SigningKey(secret_.Clone(), public_key_);
}

bool Ed25519Verify(std::string_view public_key, std::string_view message,
                   std::string_view signature) {
  EnsureSodium();
  return public_key.size() == kEd25519PublicKeySize &&
         signature.size() == kEd25519SignatureSize &&
         crypto_sign_verify_detached(Bytes(signature), Bytes(message),
                                     message.size(), Bytes(public_key)) == 0;
}

std::string SigningInput(std::string_view domain, std::string_view fleet_id,
                         std::string_view body) {
  if (domain.size() > 65535 || fleet_id.size() != 32) {
    fputs("broken invariant: SigningInput's domain or fleet id\n", stderr);
    abort();
  }
  std::string input;
  input.reserve(2 + domain.size() + fleet_id.size() + body.size());
  AppendBigEndian(input, domain.size(), 2);
  input.append(domain).append(fleet_id).append(body);
  return input;
}

}  // namespace shoal::crypto
