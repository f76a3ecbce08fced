#include "signing/tool/workspace.h"

#include <fmt/format.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/tool/passphrase.h"

namespace shoal::signing {

absl::StatusOr<std::unique_ptr<Workspace>> Workspace::Open(
    const Options& options, bool new_keys) {
  SHOAL_ASSIGN_OR_RETURN(Tree tree, Tree::Load(options.repository));
  std::unique_ptr<KeyStore> keys;
  if (!options.keys.empty()) {
    const auto strength = options.kdf == "interactive"
                              ? crypto::KdfStrength::kInteractive
                              : crypto::KdfStrength::kModerate;
    SHOAL_ASSIGN_OR_RETURN(crypto::SecretBytes passphrase,
                           ReadPassphrase(options.passphrase_file, new_keys));
    SHOAL_ASSIGN_OR_RETURN(keys,
                           KeyStore::Open(RealFileSystem(), options.keys,
                                          std::move(passphrase), strength));
  }
  const absl::Time expires = absl::FromUnixSeconds(absl::ToUnixSeconds(
      SystemClock().WallNow() + absl::Hours(24 * options.expires_days)));
  return std::unique_ptr<Workspace>(
      new Workspace(options, std::move(tree), std::move(keys), expires));
}

absl::StatusOr<Root> Workspace::NewestRoot() {
  const RoleFiles files = tree_.With(tree_.drafts());
  const auto it = files.find("root");
  if (it == files.end())
    return NotFound("no_such_role",
                    repository() + " has no root; run shoal-sign init first");
  SHOAL_ASSIGN_OR_RETURN(ParsedRoot parsed, ParseRoot(it->second.bytes));
  return std::move(parsed.value);
}

absl::StatusOr<Targets> Workspace::NewestTargets(const std::string& role) {
  const RoleFiles files = tree_.With(tree_.drafts());
  const auto it = files.find(role);
  if (it == files.end())
    return NotFound("no_such_role",
                    fmt::format("{} has no role {}", repository(), role));
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets parsed, ParseTargets(it->second.bytes));
  return std::move(parsed.value);
}

absl::StatusOr<std::string> Workspace::NewKey(const std::string& name) {
  if (keys_ == nullptr)
    return FailedPrecondition(
        "no_keys",
        "a key would be made here: say where with --keys, or give public keys "
        "that their custodians made (shoal-sign key create)");
  if (options_.dry_run) return crypto::SigningKey::Generate().public_key();
  std::string free = name;
  for (int n = 2; keys_->Has(free); ++n) free = fmt::format("{}-{}", name, n);
  SHOAL_ASSIGN_OR_RETURN(crypto::SigningKey key, keys_->Create(free));
  std::string public_key = key.public_key();
  SHOAL_RETURN_IF_ERROR(tree_.RememberKey(free, public_key));
  loaded_[public_key] = std::make_unique<crypto::SigningKey>(std::move(key));
  return public_key;
}

absl::StatusOr<const crypto::SigningKey*> Workspace::Load(
    std::string_view public_key) {
  const auto it = loaded_.find(std::string(public_key));
  if (it != loaded_.end()) return it->second.get();
  if (keys_ == nullptr) return nullptr;
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         keys_->NamesOf(public_key));
  if (names.empty()) return nullptr;
  SHOAL_ASSIGN_OR_RETURN(crypto::SigningKey key, keys_->Load(names.front()));
  if (key.public_key() != public_key)
    return DataLoss("bad_key_file",
                    names.front() + ".pub does not belong to its key");
  return (loaded_[std::string(public_key)] =
              std::make_unique<crypto::SigningKey>(std::move(key)))
      .get();
}

absl::StatusOr<Signers> Workspace::AtHand(const Authority& authority) {
  Signers signers;
  for (const std::string& id : authority.role.key_ids) {
    const auto key = authority.keys.find(id);
    if (key == authority.keys.end() || !key->second.supported) continue;
    SHOAL_ASSIGN_OR_RETURN(const crypto::SigningKey* signer,
                           Load(key->second.public_key));
    if (signer != nullptr) signers.push_back(signer);
  }
  return signers;
}

absl::StatusOr<std::string> Workspace::SignWithKeysAtHand(
    std::string bytes, const Authority& authority) {
  SHOAL_ASSIGN_OR_RETURN(const Signers signers, AtHand(authority));
  for (const crypto::SigningKey* signer : signers) {
    SHOAL_ASSIGN_OR_RETURN(bytes, AddSignature(bytes, *signer));
  }
  return bytes;
}

absl::StatusOr<Signers> Workspace::RequireSigners(std::string_view role,
                                                  const Authority& authority) {
  SHOAL_ASSIGN_OR_RETURN(Signers signers, AtHand(authority));
  if (signers.size() < authority.role.threshold)
    return FailedPrecondition(
        "not_enough_keys",
        fmt::format("{} needs {} of its keys; {} are in the key directory",
                    role, authority.role.threshold, signers.size()));
  signers.resize(authority.role.threshold);
  return signers;
}

}  // namespace shoal::signing
