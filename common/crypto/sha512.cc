#include "common/crypto/sha512.h"

#include <sodium.h>

namespace shoal::crypto {

// libsodium's plain hashes need no initialisation and always return 0.
struct Sha512::Impl {
  crypto_hash_sha512_state state;
};

Sha512::Sha512() : impl_(std::make_unique<Impl>()) {
  crypto_hash_sha512_init(&impl_->state);
}
Sha512::~Sha512() = default;

void Sha512::Update(std::string_view bytes) {
  crypto_hash_sha512_update(
      &impl_->state, reinterpret_cast<const unsigned char*>(bytes.data()),
      bytes.size());
}

std::string Sha512::Finish() {
  std::string digest(kSha512Size, '\0');
  crypto_hash_sha512_final(&impl_->state,
                           reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string Sha512Digest(std::string_view bytes) {
  Sha512 hash;
  hash.Update(bytes);
  return hash.Finish();
}

}  // namespace shoal::crypto
