// For the files of this folder only.
#ifndef SHOAL_COMMON_CRYPTO_SODIUM_INIT_H_
#define SHOAL_COMMON_CRYPTO_SODIUM_INIT_H_

namespace shoal::crypto {

// Makes libsodium ready; every entry point calls it first. Thread-safe, one
// load after the first time.
void EnsureSodium();

}  // namespace shoal::crypto

#endif  // SHOAL_COMMON_CRYPTO_SODIUM_INIT_H_
