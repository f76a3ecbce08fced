#include "common/crypto/sodium_init.h"

#include <sodium.h>

#include <cstdio>
#include <cstdlib>

namespace shoal::crypto {

void EnsureSodium() {
  static const bool ready = [] {
    if (sodium_init() < 0) {
      fputs("libsodium can't start: no random source\n", stderr);
      abort();
    }
    return true;
  }();
  (void)ready;
}

}  // namespace shoal::crypto
