// Keys in PEM: no crash, and what is taken is what its DER says.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/crypto/pem_signature.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shoal::crypto;  // NOLINT: a fuzzer's only file
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const PemScheme scheme :
       {PemScheme::kEcdsaP256Sha256, PemScheme::kRsaPssSha256}) {
    const auto der = PemKeyToDer(scheme, bytes);
    if (!der.ok()) continue;
    if (der->empty()) abort();
    // Nobody signed this.
    if (VerifyWithDerKey(scheme, *der, "message", bytes)) abort();
  }
  // Nor is the DER parser to be trusted less.
  VerifyWithDerKey(PemScheme::kEcdsaP256Sha256, bytes, "message", "signature");
  return 0;
}
