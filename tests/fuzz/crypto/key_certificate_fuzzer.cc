// X.509 of a device: a certificate that came with a grant, and a CA's that a
// plane shows.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/crypto/key_certificate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  static const std::string key =
      shoal::crypto::SigningKey::Generate().public_key();
  if (shoal::crypto::CheckKeyCertificate(bytes, key, key).ok()) std::abort();
  for (const std::string& pem : {bytes, shoal::crypto::CertificatePem(bytes)}) {
    const auto found = shoal::crypto::KeyOfCa(pem);
    if (found.ok() && found->size() != 32) std::abort();
  }
  return 0;
}
