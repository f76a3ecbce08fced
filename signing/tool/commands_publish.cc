#include <fmt/format.h>

#include <charconv>

#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/tool/commands.h"

namespace shoal::signing {
namespace {

// Adds the file of `role` and of all that it delegates to.
absl::Status Collect(const RoleFiles& in_force, const std::string& role,
                     RoleFiles& roles) {
  if (roles.contains(role)) return absl::OkStatus();
  const auto file = in_force.find(role);
  if (file == in_force.end())
    return NotFound("no_such_role",
                    role + " is delegated to but has no metadata yet");
  SHOAL_ASSIGN_OR_RETURN(const ParsedTargets parsed,
                         ParseTargets(file->second.bytes));
  roles[role] = file->second;
  if (parsed.value.delegations)
    for (const DelegatedRole& child : parsed.value.delegations->roles)
      SHOAL_RETURN_IF_ERROR(Collect(in_force, child.name, roles));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> NextTimestampVersion(const std::string& path) {
  if (!RealFileSystem().Exists(path)) return 1;
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         RealFileSystem().Read(path, kMaxTimestampBytes));
  SHOAL_ASSIGN_OR_RETURN(const ParsedTimestamp old, ParseTimestamp(bytes));
  return old.value.version + 1;
}

absl::StatusOr<uint64_t> NextSnapshotVersion(const std::string& directory) {
  SHOAL_ASSIGN_OR_RETURN(const auto names, RealFileSystem().List(directory));
  uint64_t newest = 0;
  for (const std::string& name : names) {
    uint64_t version = 0;
    const auto [end, error] =
        std::from_chars(name.data(), name.data() + name.size(), version);
    if (error == std::errc() && std::string_view(end) == ".snapshot.json")
      newest = std::max(newest, version);
  }
  return newest + 1;
}

}  // namespace

absl::Status RunPublish(const Options& options, const PublishOptions& publish) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options));
  const RoleFiles& in_force = work->tree().in_force();
  for (const auto& [role, why] : Failing(in_force, in_force))
    return Annotate(why, role);
  if (in_force.contains("director"))
    SHOAL_RETURN_IF_ERROR(CheckRole(in_force, "director"));
  const auto root_file = in_force.find("root");
  if (root_file == in_force.end())
    return NotFound("no_such_role", "no root is in force");
  SHOAL_ASSIGN_OR_RETURN(const ParsedRoot root,
                         ParseRoot(root_file->second.bytes));
  const auto authority = [&](const char* role) {
    return Authority{root.value.keys, root.value.roles.at(role)};
  };
  SHOAL_ASSIGN_OR_RETURN(
      const Signers snapshot_signers,
      work->RequireSigners("snapshot", authority("snapshot")));
  SHOAL_ASSIGN_OR_RETURN(
      const Signers timestamp_signers,
      work->RequireSigners("timestamp", authority("timestamp")));
  RoleFiles roles;
  SHOAL_RETURN_IF_ERROR(Collect(in_force, "targets", roles));
  const std::string directory = JoinPath(work->repository(), "metadata");
  const std::string timestamp_path = JoinPath(directory, "timestamp.json");
  SHOAL_ASSIGN_OR_RETURN(const uint64_t version,
                         NextSnapshotVersion(directory));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t timestamp_version,
                         NextTimestampVersion(timestamp_path));
  // No client expects a snapshot to outlive its timestamp; the same lifetime
  // keeps a stale pair from being mixed with a fresh one.
  const absl::Time expires = absl::FromUnixSeconds(absl::ToUnixSeconds(
      SystemClock().WallNow() + absl::Hours(24 * publish.timestamp_days)));
  SHOAL_ASSIGN_OR_RETURN(
      const std::string snapshot,
      BuildSnapshot(version, expires, roles, snapshot_signers));
  SHOAL_ASSIGN_OR_RETURN(const std::string timestamp,
                         BuildTimestamp(timestamp_version, expires, version,
                                        snapshot, timestamp_signers));
  if (!options.dry_run) {
    SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(
        work->tree().MetadataPath("snapshot", version), snapshot));
    SHOAL_RETURN_IF_ERROR(
        RealFileSystem().WriteAtomic(timestamp_path, timestamp));
  }
  fmt::print("{}timestamp {}, snapshot {}, {} roles; valid until {}\n",
             options.dry_run ? "dry run: " : "", timestamp_version, version,
             roles.size(), FormatExpires(expires));
  return absl::OkStatus();
}

}  // namespace shoal::signing
