#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/metadata/file_root.h"
#include "signing/metadata/image_info.h"
#include "signing/metadata/json.h"
#include "signing/tool/commands.h"
#include "signing/tool/json_rest.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/fleet_trust.h"
#include "signing/verify/updater.h"

namespace shoal::signing {
namespace {

void PrintHeader(const SignedBytes& envelope, const SignedCommon& common) {
  fmt::print("{} version {}, expires {}\n", envelope.type, common.version,
             FormatExpires(common.expires));
  for (const Signature& signature : envelope.signatures)
    fmt::print("  signature by key {}\n", Printable(signature.key_id));
}

void PrintPin(std::string_view name, const MetaFile& pin) {
  fmt::print("  {} version {}{}{}\n", name, pin.version,
             pin.length ? fmt::format(", {} bytes", *pin.length) : "",
             pin.sha256 ? ", sha256 " + HexEncode(*pin.sha256) : "");
}

void PrintRoleKeys(std::string_view name, const RoleKeys& role,
                   const std::map<std::string, Key>& keys) {
  fmt::print("  {}: {} of {}\n", name, role.threshold, role.key_ids.size());
  for (const std::string& id : role.key_ids) {
    const auto key = keys.find(id);
    if (key == keys.end())
      fmt::print("    {} (no such key)\n", Printable(id));
    else
      fmt::print("    {} {} {}\n", id, Printable(key->second.type),
                 key->second.supported ? HexEncode(key->second.public_key)
                                       : "(not supported)");
  }
}

// What the file says beside all that was understood.
absl::Status PrintRest(const std::string& understood,
                       const std::string& bytes) {
  SHOAL_ASSIGN_OR_RETURN(const auto file,
                         ParseStrictJson(bytes, kMaxTargetsBytes));
  const std::string lines =
      JsonRest(JsonRest::Json::parse(understood), file.at("signed")).Lines();
  if (!lines.empty()) fmt::print("what else it says:\n{}", lines);
  return absl::OkStatus();
}

std::string Visible(const std::string& json) {
  return JsonRest::Json::parse(json).dump(-1, ' ', /*ensure_ascii=*/true);
}

void PrintTargets(const Targets& targets) {
  if (targets.fleet_keys) {
    const auto print = [](const char* name, const std::string& key) {
      fmt::print("  {} {}\n", name, HexEncode(key));
    };
    for (const auto& key : targets.fleet_keys->device_ca)
      print("device_ca", key);
    for (const auto& key : targets.fleet_keys->node_ca) print("node_ca", key);
    for (const auto& key : targets.fleet_keys->time) print("time", key);
    print("telemetry", targets.fleet_keys->telemetry);
    for (const Manufacturer& one : targets.fleet_keys->manufacturers) {
      fmt::print("  manufacturer {} {}", one.name, HexEncode(one.key));
      for (const std::string& type : one.device_types) fmt::print(" {}", type);
      fmt::print("\n");
    }
  }
  if (targets.delegations)
    for (const DelegatedRole& role : targets.delegations->roles) {
      PrintRoleKeys(role.name, role.keys, targets.delegations->keys);
      for (const std::string& path : role.paths)
        fmt::print("    paths {}{}\n", Printable(path),
                   role.terminating ? " (terminating)" : "");
      for (const std::string& prefix : role.path_hash_prefixes)
        fmt::print("    path_hash_prefixes {}{}\n", Printable(prefix),
                   role.terminating ? " (terminating)" : "");
    }
  if (targets.delegations && targets.delegations->succinct) {
    const SuccinctRoles& bins = *targets.delegations->succinct;
    PrintRoleKeys(fmt::format("{}-… ({} bits of the path's hash)",
                              bins.name_prefix, bins.bit_length),
                  bins.keys, targets.delegations->keys);
  }
  for (const auto& [path, file] : targets.targets) {
    fmt::print("  {} {} bytes, sha256 {}\n", path, file.length,
               HexEncode(file.sha256));
    if (!file.custom.empty()) fmt::print("    {}\n", Visible(file.custom));
  }
}

// A directory that is gone with the object.
class Scratch {
 public:
  static absl::StatusOr<Scratch> Make() {
    std::string path =
        (std::filesystem::temp_directory_path() / "shoal-verify.XXXXXX")
            .string();
    if (mkdtemp(path.data()) == nullptr)
      return ErrnoError(errno, "mkdtemp " + path);
    return Scratch(std::move(path));
  }
  Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

absl::Status VerifyBytes(const std::string& repository,
                         const TargetFile& target) {
  SHOAL_ASSIGN_OR_RETURN(const std::string name, TargetFilePath(target));
  SHOAL_ASSIGN_OR_RETURN(const FileDigests digests,
                         DigestFile(JoinPath(repository, name)));
  if (digests.length != target.length)
    return DataLoss("length_mismatch", name + " has another length");
  if (digests.sha256 != target.sha256)
    return DataLoss("hash_mismatch", name + " is not the file that is signed");
  if (target.path.rfind("fw/", 0) == 0) {
    SHOAL_ASSIGN_OR_RETURN(const BulkInfo info, ParseBulkInfo(target));
    if (info.file_root != digests.file_root ||
        info.piece_length != digests.piece_length)
      return DataLoss("hash_mismatch",
                      name + " has another BEP 52 root than signed");
  }
  return absl::OkStatus();
}

absl::Status VerifyRole(Updater& updater, Fetcher& source,
                        const std::string& repository,
                        const std::string& role) {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<TargetFile> targets,
                         updater.TargetsOf(&source, role));
  SHOAL_ASSIGN_OR_RETURN(const Targets metadata,
                         updater.RoleMetadata(&source, role));
  for (const TargetFile& target : targets)
    SHOAL_RETURN_IF_ERROR(VerifyBytes(repository, target));
  fmt::print("{} version {}: {} targets verified\n", role, metadata.version,
             targets.size());
  if (metadata.delegations)
    for (const DelegatedRole& child : metadata.delegations->roles)
      SHOAL_RETURN_IF_ERROR(
          VerifyRole(updater, source, repository, child.name));
  return absl::OkStatus();
}

}  // namespace

absl::Status RunInspect(const std::string& file) {
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         RealFileSystem().Read(file, kMaxTargetsBytes));
  if (const auto root = ParseRoot(bytes); root.ok()) {
    PrintHeader(root->envelope, root->value);
    if (root->value.version == 1)
      fmt::print("  fleet id {}\n", HexEncode(crypto::Sha256Digest(bytes)));
    for (const auto& [name, role] : root->value.roles)
      PrintRoleKeys(name, role, root->value.keys);
    return PrintRest(FormatRoot(root->value), bytes);
  }
  if (const auto timestamp = ParseTimestamp(bytes); timestamp.ok()) {
    PrintHeader(timestamp->envelope, timestamp->value);
    PrintPin("snapshot", timestamp->value.snapshot);
    return PrintRest(FormatTimestamp(timestamp->value), bytes);
  }
  if (const auto snapshot = ParseSnapshot(bytes); snapshot.ok()) {
    PrintHeader(snapshot->envelope, snapshot->value);
    for (const auto& [name, pin] : snapshot->value.meta) PrintPin(name, pin);
    return PrintRest(FormatSnapshot(snapshot->value), bytes);
  }
  SHOAL_ASSIGN_OR_RETURN(const ParsedTargets targets, ParseTargets(bytes));
  PrintHeader(targets.envelope, targets.value);
  PrintTargets(targets.value);
  return PrintRest(FormatTargets(targets.value), bytes);
}

absl::Status RunVerify(const std::string& repository,
                       const std::string& fleet_id_hex) {
  std::string fleet_id;
  if (fleet_id_hex.empty()) {
    SHOAL_ASSIGN_OR_RETURN(
        const std::string root,
        RealFileSystem().Read(JoinPath(repository, "metadata/1.root.json"),
                              kMaxRootBytes));
    fleet_id = crypto::Sha256Digest(root);
  } else {
    SHOAL_ASSIGN_OR_RETURN(fleet_id, HexDecode(fleet_id_hex));
  }
  SHOAL_ASSIGN_OR_RETURN(const Scratch scratch, Scratch::Make());
  UpdaterOptions options;
  options.directory = scratch.path();
  options.fleet_id = fleet_id;
  SHOAL_ASSIGN_OR_RETURN(
      const std::unique_ptr<Updater> updater,
      Updater::Open(options, RealFileSystem(), SystemClock()));
  DirectoryFetcher source(RealFileSystem(), repository);
  SHOAL_RETURN_IF_ERROR(updater->Refresh(source));
  fmt::print("fleet id: {}\n", HexEncode(fleet_id));
  fmt::print("root {}, timestamp {}, snapshot {}\n", updater->root().version,
             updater->timestamp().version, updater->snapshot().version);
  SHOAL_RETURN_IF_ERROR(VerifyRole(*updater, source, repository, "targets"));
  if (const auto policy =
          updater->GetTargetOf(&source, kPolicyRole, kPolicyPath);
      !policy.ok() && ReasonOf(policy.status()) != "unknown_target")
    return policy.status();
  fmt::print("verified; valid until {}\n",
             FormatExpires(updater->FreshUntil()));
  return absl::OkStatus();
}

}  // namespace shoal::signing
