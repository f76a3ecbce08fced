#include "signing/client/interop_algorithms.h"

#include <optional>

#include "common/crypto/pem_signature.h"

namespace shoal::signing {
namespace {

std::optional<crypto::PemScheme> SchemeOf(const Key& key) {
  if ((key.type == "ecdsa" || key.type == "ecdsa-sha2-nistp256") &&
      key.scheme == "ecdsa-sha2-nistp256")
    return crypto::PemScheme::kEcdsaP256Sha256;
  if (key.type == "rsa" && key.scheme == "rsassa-pss-sha256")
    return crypto::PemScheme::kRsaPssSha256;
  return std::nullopt;
}

class Interop final : public KeyAlgorithms {
 public:
  std::string Identity(const Key& key) const override {
    const auto scheme = SchemeOf(key);
    if (!scheme) return Ed25519Only().Identity(key);
    return crypto::PemKeyToDer(*scheme, key.public_key).value_or("");
  }
  bool Verify(const Key& key, std::string_view message,
              std::string_view signature) const override {
    const auto scheme = SchemeOf(key);
    if (!scheme) return Ed25519Only().Verify(key, message, signature);
    return crypto::VerifyWithDerKey(*scheme, Identity(key), message, signature);
  }
};

}  // namespace

const KeyAlgorithms& InteropAlgorithms() {
  static const Interop algorithms;
  return algorithms;
}

}  // namespace shoal::signing
