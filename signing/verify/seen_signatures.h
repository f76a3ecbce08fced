// Signatures that were found good, so that the same one (of a credential that a
// device shows with each of its records, say) is computed once.
#ifndef SHOAL_SIGNING_VERIFY_SEEN_SIGNATURES_H_
#define SHOAL_SIGNING_VERIFY_SEEN_SIGNATURES_H_

#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>

namespace shoal::signing {

// Remembers digests over key, message and signature, never who may sign: asked
// with another key or message, or after a change of trust, it computes anew.
// What was found bad is not remembered, so nobody fills it who can't sign.
// Thread-safe.
class SeenSignatures {
 public:
  // Some 60 bytes of memory each. With no room left it forgets all.
  explicit SeenSignatures(size_t capacity = 1 << 18) : capacity_(capacity) {}

  // As crypto::Ed25519Verify.
  bool Verify(std::string_view public_key, std::string_view message,
              std::string_view signature);
  size_t size() const;

 private:
  const size_t capacity_;
  mutable std::mutex mutex_;
  std::unordered_set<std::string> good_;  // 16 bytes of SHA-256
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_SEEN_SIGNATURES_H_
