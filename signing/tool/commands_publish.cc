#include <fmt/format.h>

#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/tool/commands.h"

namespace shoal::signing {
namespace {

// Adds the newest file of `role` and of all that it delegates to.
absl::Status Collect(Workspace& work, const std::string& role,
                     std::map<std::string, RoleFile>& roles) {
  if (roles.contains(role)) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const uint64_t version, work.NewestVersion(role));
  if (version == 0)
    return NotFound("no_such_role",
                    role + " is delegated to but has no metadata yet");
  SHOAL_ASSIGN_OR_RETURN(std::string bytes, work.ReadMetadata(role, version));
  SHOAL_ASSIGN_OR_RETURN(const ParsedTargets parsed, ParseTargets(bytes));
  if (parsed.value.version != version)
    return DataLoss("wrong_version",
                    fmt::format("{}.{}.json holds version {}", version, role,
                                parsed.value.version));
  roles[role] = {version, std::move(bytes)};
  if (parsed.value.delegations)
    for (const DelegatedRole& child : parsed.value.delegations->roles)
      SHOAL_RETURN_IF_ERROR(Collect(work, child.name, roles));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> NextTimestampVersion(Workspace& work) {
  const std::string path = work.MetadataPath("timestamp.json");
  if (!RealFileSystem().Exists(path)) return 1;
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         RealFileSystem().Read(path, kMaxTimestampBytes));
  SHOAL_ASSIGN_OR_RETURN(const ParsedTimestamp old, ParseTimestamp(bytes));
  return old.value.version + 1;
}

}  // namespace

absl::Status RunPublish(const Options& options, const PublishOptions& publish) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options, false));
  SHOAL_ASSIGN_OR_RETURN(const ParsedRoot root, work->NewestRoot());
  SHOAL_ASSIGN_OR_RETURN(const std::vector<crypto::SigningKey> snapshot_signers,
                         work->RequireSigners("snapshot", root.value.keys,
                                              root.value.roles.at("snapshot")));
  SHOAL_ASSIGN_OR_RETURN(
      const std::vector<crypto::SigningKey> timestamp_signers,
      work->RequireSigners("timestamp", root.value.keys,
                           root.value.roles.at("timestamp")));
  std::map<std::string, RoleFile> roles;
  SHOAL_RETURN_IF_ERROR(Collect(*work, "targets", roles));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t old_snapshot,
                         work->NewestVersion("snapshot"));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t timestamp_version,
                         NextTimestampVersion(*work));
  // No client expects a snapshot to outlive its timestamp; the same lifetime
  // keeps a stale pair from being mixed with a fresh one.
  const absl::Time expires = absl::FromUnixSeconds(absl::ToUnixSeconds(
      SystemClock().WallNow() + absl::Hours(24 * publish.timestamp_days)));
  SHOAL_ASSIGN_OR_RETURN(const std::string snapshot,
                         BuildSnapshot(old_snapshot + 1, expires, roles,
                                       Pointers(snapshot_signers)));
  SHOAL_ASSIGN_OR_RETURN(
      const std::string timestamp,
      BuildTimestamp(timestamp_version, expires, old_snapshot + 1, snapshot,
                     Pointers(timestamp_signers)));
  SHOAL_RETURN_IF_ERROR(
      work->WriteVersion("snapshot", old_snapshot + 1, snapshot));
  SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(
      work->MetadataPath("timestamp.json"), timestamp));
  fmt::print("timestamp {}, snapshot {}, {} roles; valid until {}\n",
             timestamp_version, old_snapshot + 1, roles.size(),
             FormatExpires(expires));
  return absl::OkStatus();
}

}  // namespace shoal::signing
