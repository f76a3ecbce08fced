// SHA-512 (FIPS 180-4), which some TUF repositories name their files by;
// Shoal's own digests are SHA-256 (hash.h).
#ifndef SHOAL_COMMON_CRYPTO_SHA512_H_
#define SHOAL_COMMON_CRYPTO_SHA512_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace shoal::crypto {

inline constexpr size_t kSha512Size = 64;

// One thread. Cannot fail.
class Sha512 {
 public:
  Sha512();
  ~Sha512();
  void Update(std::string_view bytes);
  // The 64-byte digest of everything since construction; call once.
  std::string Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::string Sha512Digest(std::string_view bytes);

}  // namespace shoal::crypto

#endif  // SHOAL_COMMON_CRYPTO_SHA512_H_
