#include <fmt/format.h>

#include <set>

#include "common/crypto/ed25519.h"
#include "common/status.h"
#include "signing/verify/algorithms.h"

namespace shoal::signing {
namespace {

class Ed25519 final : public KeyAlgorithms {
 public:
  std::string Identity(const Key& key) const override {
    return key.supported ? key.public_key : std::string();
  }
  bool Verify(const Key& key, std::string_view message,
              std::string_view signature) const override {
    return crypto::Ed25519Verify(key.public_key, message, signature);
  }
};

}  // namespace

const KeyAlgorithms& Ed25519Only() {
  static const Ed25519 algorithms;
  return algorithms;
}

absl::Status VerifySignatures(const SignedBytes& envelope,
                              const std::map<std::string, Key>& keys,
                              const RoleKeys& role, std::string_view role_name,
                              const KeyAlgorithms& algorithms) {
  const std::set<std::string> allowed(role.key_ids.begin(), role.key_ids.end());
  // Distinct public keys, not ids: a key object with one more unknown field
  // has another id and would count twice.
  std::set<std::string> signers;
  for (const Signature& signature : envelope.signatures) {
    if (!allowed.contains(signature.key_id)) continue;
    const auto key = keys.find(signature.key_id);
    if (key == keys.end()) continue;
    std::string identity = algorithms.Identity(key->second);
    if (identity.empty() || signers.contains(identity)) continue;
    if (algorithms.Verify(key->second, envelope.canonical_signed,
                          signature.bytes))
      signers.insert(std::move(identity));
  }
  if (signers.size() >= role.threshold) return absl::OkStatus();
  return PermissionDenied(
      "bad_signature",
      fmt::format("{} is signed by {} of its keys, {} are needed", role_name,
                  signers.size(), role.threshold));
}

}  // namespace shoal::signing
