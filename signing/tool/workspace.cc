#include "signing/tool/workspace.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/tool/passphrase.h"

namespace shoal::signing {

absl::StatusOr<std::unique_ptr<Workspace>> Workspace::Open(
    const Options& options, bool new_keys) {
  const crypto::KdfStrength strength = options.kdf == "interactive"
                                           ? crypto::KdfStrength::kInteractive
                                           : crypto::KdfStrength::kModerate;
  SHOAL_ASSIGN_OR_RETURN(crypto::SecretBytes passphrase,
                         ReadPassphrase(options.passphrase_file, new_keys));
  SHOAL_ASSIGN_OR_RETURN(std::unique_ptr<KeyStore> keys,
                         KeyStore::Open(RealFileSystem(), options.keys,
                                        std::move(passphrase), strength));
  SHOAL_RETURN_IF_ERROR(RealFileSystem().MakeDirectories(
      JoinPath(options.repository, "metadata")));
  const absl::Time now = SystemClock().WallNow();
  const absl::Time expires = absl::FromUnixSeconds(
      absl::ToUnixSeconds(now + absl::Hours(24 * options.expires_days)));
  return std::unique_ptr<Workspace>(
      new Workspace(options.repository, std::move(keys), expires));
}

std::string Workspace::MetadataPath(std::string_view name) const {
  return JoinPath(JoinPath(repository_, "metadata"), name);
}

absl::StatusOr<uint64_t> Workspace::NewestVersion(std::string_view role) {
  SHOAL_ASSIGN_OR_RETURN(
      const std::vector<std::string> names,
      RealFileSystem().List(JoinPath(repository_, "metadata")));
  const std::string suffix = fmt::format(".{}.json", role);
  uint64_t newest = 0;
  for (const std::string& name : names) {
    uint64_t version = 0;
    const auto [end, error] =
        std::from_chars(name.data(), name.data() + name.size(), version);
    if (error == std::errc() && suffix == end)
      newest = std::max(newest, version);
  }
  return newest;
}

absl::StatusOr<std::string> Workspace::ReadMetadata(std::string_view role,
                                                    uint64_t version) {
  return RealFileSystem().Read(
      MetadataPath(fmt::format("{}.{}.json", version, role)),
      MaxMetadataBytes(role));
}

absl::StatusOr<ParsedRoot> Workspace::NewestRoot() {
  SHOAL_ASSIGN_OR_RETURN(const uint64_t version, NewestVersion("root"));
  if (version == 0)
    return NotFound("no_such_role",
                    repository_ + " has no root; run shoal-sign init first");
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         ReadMetadata("root", version));
  return ParseRoot(bytes);
}

absl::StatusOr<ParsedTargets> Workspace::NewestTargets(std::string_view role) {
  SHOAL_ASSIGN_OR_RETURN(const uint64_t version, NewestVersion(role));
  if (version == 0)
    return NotFound("no_such_role",
                    fmt::format("{} has no role {}", repository_, role));
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes, ReadMetadata(role, version));
  return ParseTargets(bytes);
}

absl::StatusOr<std::vector<crypto::SigningKey>> Workspace::LoadSigners(
    const std::map<std::string, Key>& keys, const RoleKeys& role) {
  std::vector<crypto::SigningKey> signers;
  for (const std::string& id : role.key_ids) {
    if (signers.size() >= role.threshold) break;
    const auto key = keys.find(id);
    if (key == keys.end() || !key->second.supported) continue;
    SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           keys_->NamesOf(key->second.public_key));
    if (names.empty()) continue;
    SHOAL_ASSIGN_OR_RETURN(crypto::SigningKey signer,
                           keys_->Load(names.front()));
    if (signer.public_key() != key->second.public_key)
      return DataLoss("bad_key_file",
                      names.front() + ".pub does not belong to its key");
    signers.push_back(std::move(signer));
  }
  return signers;
}

absl::StatusOr<std::vector<crypto::SigningKey>> Workspace::RequireSigners(
    std::string_view role_name, const std::map<std::string, Key>& keys,
    const RoleKeys& role) {
  SHOAL_ASSIGN_OR_RETURN(std::vector<crypto::SigningKey> signers,
                         LoadSigners(keys, role));
  if (signers.size() < role.threshold)
    return FailedPrecondition(
        "not_enough_keys",
        fmt::format("{} needs {} of its keys; {} are in the key directory",
                    role_name, role.threshold, signers.size()));
  return signers;
}

absl::Status Workspace::WriteVersion(std::string_view role, uint64_t version,
                                     std::string_view bytes) {
  const std::string path =
      MetadataPath(fmt::format("{}.{}.json", version, role));
  if (RealFileSystem().Exists(path))
    return MakeError(absl::StatusCode::kAlreadyExists, "version_exists",
                     path + " exists; a signed version is never replaced");
  return RealFileSystem().WriteAtomic(path, bytes);
}

absl::Status Workspace::WriteTargets(Targets targets) {
  SHOAL_ASSIGN_OR_RETURN(const ParsedRoot root, NewestRoot());
  SHOAL_ASSIGN_OR_RETURN(const std::vector<crypto::SigningKey> signers,
                         RequireSigners("targets", root.value.keys,
                                        root.value.roles.at("targets")));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t newest, NewestVersion("targets"));
  targets.version = newest + 1;
  targets.expires = expires_;
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         SignTargets(targets, Pointers(signers)));
  return WriteVersion("targets", targets.version, bytes);
}

absl::Status Workspace::WriteDelegated(const Targets& top,
                                       std::string_view role, Targets targets) {
  Targets copy = top;
  const DelegatedRole* delegation = FindDelegation(copy, role);
  if (delegation == nullptr)
    return NotFound("no_such_role",
                    fmt::format("targets.json does not delegate to {}", role));
  SHOAL_ASSIGN_OR_RETURN(
      const std::vector<crypto::SigningKey> signers,
      RequireSigners(role, top.delegations->keys, delegation->keys));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t newest, NewestVersion(role));
  targets.version = newest + 1;
  targets.expires = expires_;
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         SignTargets(targets, Pointers(signers)));
  return WriteVersion(role, targets.version, bytes);
}

Signers Pointers(const std::vector<crypto::SigningKey>& keys) {
  Signers signers;
  for (const crypto::SigningKey& key : keys) signers.push_back(&key);
  return signers;
}

DelegatedRole* FindDelegation(Targets& top, std::string_view role) {
  if (!top.delegations) return nullptr;
  for (DelegatedRole& delegation : top.delegations->roles)
    if (delegation.name == role) return &delegation;
  return nullptr;
}

}  // namespace shoal::signing
