#include "signing/verify/seen_signatures.h"

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"

namespace shoal::signing {
namespace {

// Key and signature have fixed lengths, so that the parts can't be shifted.
std::string DigestOf(std::string_view public_key, std::string_view message,
                     std::string_view signature) {
  crypto::Sha256 hash;
  hash.Update(public_key);
  hash.Update(signature);
  hash.Update(message);
  return hash.Finish().substr(0, 16);
}

}  // namespace

bool SeenSignatures::Verify(std::string_view public_key,
                            std::string_view message,
                            std::string_view signature) {
  if (public_key.size() != crypto::kEd25519PublicKeySize ||
      signature.size() != crypto::kEd25519SignatureSize)
    return false;
  std::string digest = DigestOf(public_key, message, signature);
  {
    std::lock_guard lock(mutex_);
    if (good_.contains(digest)) return true;
  }
  if (!crypto::Ed25519Verify(public_key, message, signature)) return false;
  std::lock_guard lock(mutex_);
  if (good_.size() >= capacity_) good_.clear();
  good_.insert(std::move(digest));
  return true;
}

size_t SeenSignatures::size() const {
  std::lock_guard lock(mutex_);
  return good_.size();
}

}  // namespace shoal::signing
