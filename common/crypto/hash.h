// Digests and randomness. All functions are thread-safe; an object is used by
// one thread at a time. None of this can fail: out of memory and a broken
// random source abort.
#ifndef SHOAL_COMMON_CRYPTO_HASH_H_
#define SHOAL_COMMON_CRYPTO_HASH_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace shoal::crypto {

inline constexpr size_t kSha256Size = 32;

// SHA-256 (FIPS 180-4) over a stream.
class Sha256 {
 public:
  Sha256();
  Sha256(const Sha256& other);  // goes on from the other's state
  Sha256& operator=(const Sha256& other);
  Sha256(Sha256&& other) noexcept;
  Sha256& operator=(Sha256&& other) noexcept;
  ~Sha256();

  void Update(std::string_view bytes);
  // The 32-byte digest of everything since construction or the last Finish();
  // afterwards the object hashes a new stream.
  std::string Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// 32 bytes.
std::string Sha256Digest(std::string_view bytes);

// BLAKE2b (RFC 7693), keyed when `key` is not empty. key: 0 or 16..64 bytes;
// out_len: 16..64. Other lengths are a broken invariant: abort.
std::string Blake2b(std::string_view key, std::string_view data,
                    size_t out_len = 32);

// From the kernel's generator.
std::string RandomBytes(size_t n);

// In constant time for equal lengths; different lengths are unequal.
bool EqualConstantTime(std::string_view a, std::string_view b);

}  // namespace shoal::crypto

#endif  // SHOAL_COMMON_CRYPTO_HASH_H_
