#include <fmt/format.h>

#include <set>

#include "common/crypto/ed25519.h"
#include "common/status.h"
#include "signing/verify/updater.h"

namespace shoal::signing {

absl::Status VerifySignatures(const SignedBytes& envelope,
                              const std::map<std::string, Key>& keys,
                              const RoleKeys& role,
                              std::string_view role_name) {
  const std::set<std::string> allowed(role.key_ids.begin(), role.key_ids.end());
  // Distinct public keys, not ids: a key object with one more unknown field
  // has another id and would count twice.
  std::set<std::string> signers;
  for (const Signature& signature : envelope.signatures) {
    if (!allowed.contains(signature.key_id)) continue;
    const auto key = keys.find(signature.key_id);
    if (key == keys.end() || !key->second.supported ||
        signers.contains(key->second.public_key))
      continue;
    if (crypto::Ed25519Verify(key->second.public_key, envelope.canonical_signed,
                              signature.bytes))
      signers.insert(key->second.public_key);
  }
  if (signers.size() >= role.threshold) return absl::OkStatus();
  return PermissionDenied(
      "bad_signature",
      fmt::format("{} is signed by {} of its keys, {} are needed", role_name,
                  signers.size(), role.threshold));
}

}  // namespace shoal::signing
