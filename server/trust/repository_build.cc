#include <fmt/format.h>

#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "server/trust/candidate.h"
#include "server/trust/file_names.h"

namespace shoal::server {
namespace {

// "director/TYPE/rollout/ID" → TYPE; "" for anything else.
std::string DirectorType(std::string_view path) {
  constexpr std::string_view kPrefix = "director/";
  if (path.substr(0, kPrefix.size()) != kPrefix) return "";
  path.remove_prefix(kPrefix.size());
  return std::string(path.substr(0, path.find('/')));
}

}  // namespace

absl::StatusOr<TrustRepository::Candidate> TrustRepository::Build(
    const RepositoryChange& change, bool new_timestamp) {
  Candidate candidate;
  candidate.files = files_;
  candidate.documents = documents_;
  for (const auto& [name, bytes] : change.metadata) {
    SHOAL_ASSIGN_OR_RETURN(MetadataName parsed, ParseMetadataFileName(name));
    if (IsOnlineRole(parsed.role)) {
      return PermissionDenied(
          "online_role",
          parsed.role + " is signed by the management plane itself");
    }
    const auto existing = candidate.files.find(name);
    if (existing != candidate.files.end()) {
      if (existing->second == bytes) continue;
      return DataLoss("equivocation", name +
                                          " is published already, with "
                                          "other content");
    }
    const uint64_t newest = NewestVersion(files_, parsed.role);
    if (parsed.version < newest) {
      return FailedPrecondition(
          "rollback", fmt::format("{}: version {} is in force", name, newest));
    }
    candidate.files[name] = bytes;
    candidate.changed.metadata[name] = bytes;
  }
  if (!candidate.files.contains(MetadataFileName("root", 1))) {
    return FailedPrecondition("no_trust",
                              "there is no root.json version 1: import the "
                              "offline-signed repository first");
  }
  for (const auto& [path, bytes] : change.documents) {
    if (!DirectorType(path).empty()) {
      return PermissionDenied("online_role",
                              path + " belongs to the management plane");
    }
    auto& document = candidate.documents[path];
    if (document == bytes) continue;
    document = bytes;
    candidate.changed.documents[path] = bytes;
  }
  const auto role_of =
      [&](const std::string& path) -> absl::StatusOr<signing::Targets*> {
    const std::string type = DirectorType(path);
    if (!IsIdentifier(type)) {
      return InvalidArgument("bad_target_path", path);
    }
    const std::string role = "director-" + type;
    const auto it = candidate.director_roles.find(role);
    if (it != candidate.director_roles.end()) return &it->second;
    signing::Targets targets;
    const uint64_t version = NewestVersion(candidate.files, role);
    if (version > 0) {
      SHOAL_ASSIGN_OR_RETURN(auto parsed,
                             signing::ParseTargets(candidate.files.at(
                                 MetadataFileName(role, version))));
      targets = std::move(parsed.value);
    }
    return &(candidate.director_roles[role] = std::move(targets));
  };
  for (const auto& [path, bytes] : change.put) {
    SHOAL_ASSIGN_OR_RETURN(signing::Targets * targets, role_of(path));
    signing::TargetFile target;
    target.path = path;
    target.length = bytes.size();
    target.sha256 = crypto::Sha256Digest(bytes);
    auto& old = targets->targets[path];
    if (old.sha256 == target.sha256 && old.length == target.length) continue;
    old = target;
    candidate.edited_types.insert(DirectorType(path));
    candidate.documents[path] = bytes;
    candidate.changed.documents[path] = bytes;
  }
  for (const std::string& path : change.remove) {
    SHOAL_ASSIGN_OR_RETURN(signing::Targets * targets, role_of(path));
    if (targets->targets.erase(path) == 0) continue;
    candidate.edited_types.insert(DirectorType(path));
    candidate.documents.erase(path);
    candidate.changed.documents.erase(path);
    candidate.removed_documents.push_back(path);
  }
  SHOAL_RETURN_IF_ERROR(SignOnline(candidate, new_timestamp));
  SHOAL_RETURN_IF_ERROR(Verify(candidate));
  return candidate;
}

}  // namespace shoal::server
