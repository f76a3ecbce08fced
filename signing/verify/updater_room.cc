// How much of the disk and of the memory delegated metadata may take. Whoever
// holds an online key may delegate as he likes; what lies here of it is only a
// copy, and gives way to everything above.
#include <algorithm>
#include <set>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/verify/updater_impl.h"

namespace shoal::signing {
namespace {

bool IsTopRole(std::string_view name) {
  return name == "root.json" || name == "timestamp.json" ||
         name == "snapshot.json" || name == "targets.json";
}

void Warn(const absl::Status& status) {
  if (!status.ok()) LogWarn("metadata_not_removed", {{"error", status}});
}

}  // namespace

std::vector<std::string> Updater::Impl::RoleFiles() {
  std::vector<std::string> files;
  auto names = fs.List(options.directory);
  if (!names.ok()) return files;
  for (const std::string& name : *names)
    if (name.ends_with(".json") && !IsTopRole(name))
      files.push_back(Path(name));
  return files;
}

uint64_t Updater::Impl::BytesOf(const std::vector<std::string>& files) {
  uint64_t bytes = 0;
  for (const std::string& file : files) bytes += fs.Size(file).value_or(0);
  return bytes;
}

void Updater::Impl::TrimLoaded() {
  uint64_t bytes = 0;
  for (const auto& [name, role] : view.roles)
    if (name != "targets") bytes += role.bytes.size();
  if (bytes <= options.max_loaded_bytes) return;
  std::erase_if(view.roles,
                [](const auto& role) { return role.first != "targets"; });
}

void Updater::Impl::PruneRoles() {
  // A stock client's directory is its user's, and may hold anything.
  if (options.anchored_by_root) return;
  std::set<std::string> named;
  for (const auto& [role, pin] : state.snapshot->meta)
    named.insert(RolePath(role));
  for (const std::string& file : RoleFiles())
    if (!named.contains(file)) Warn(fs.Remove(file));
}

void Updater::Impl::KeepRole(std::string_view role, std::string_view bytes) {
  const std::string path = RolePath(role);
  const Targets& top = view.roles.at("targets").value;
  const auto by_custodians = [&](std::string_view name) {
    return top.delegations && FindDelegation(*top.delegations, name);
  };
  std::vector<std::string> others = RoleFiles();
  std::erase(others, path);
  uint64_t used = BytesOf(others);
  if (used + bytes.size() > options.max_stored_role_bytes) {
    // First what nobody asked for since the last refresh; then, for a role that
    // targets.json itself names, all that it does not.
    std::set<std::string> kept;
    std::set<std::string> offline;
    for (const auto& [name, loaded] : view.roles) kept.insert(RolePath(name));
    if (top.delegations)
      for (const DelegatedRole& one : top.delegations->roles)
        offline.insert(RolePath(one.name));
    const auto drop = [&](const std::set<std::string>& but) {
      for (const std::string& file : others) {
        if (used + bytes.size() <= options.max_stored_role_bytes) return;
        if (but.contains(file) || offline.contains(file)) continue;
        const uint64_t size = fs.Size(file).value_or(0);
        Warn(fs.Remove(file));
        used -= std::min(used, size);
      }
    };
    drop(kept);
    if (by_custodians(role)) drop({});
  }
  if (used + bytes.size() > options.max_stored_role_bytes) {
    LogDebug("role_not_stored", {{"role", std::string(role)}});
    return;
  }
  // It can be fetched again: a full disk is no reason not to know it.
  if (const absl::Status kept = fs.WriteAtomic(path, bytes); !kept.ok())
    LogWarn("role_not_stored", {{"role", std::string(role)}, {"error", kept}});
}

absl::Status Updater::Impl::MakeRoomForTarget(uint64_t bytes) {
  const std::string directory = Path("targets");
  SHOAL_ASSIGN_OR_RETURN(std::vector<std::string> names, fs.List(directory));
  for (std::string& name : names) name = JoinPath(directory, name);
  if (names.size() < kMaxStoredTargets &&
      BytesOf(names) + bytes <= options.max_stored_target_bytes)
    return absl::OkStatus();
  // What the custodians' terminating roles name stays: the access policy is to
  // be there after a start without a network.
  std::set<std::string> kept;
  if (const auto& top = view.roles.at("targets").value.delegations)
    for (const DelegatedRole& one : top->roles)
      if (const auto role = view.roles.find(one.name);
          one.terminating && role != view.roles.end())
        for (const auto& [path, target] : role->second.value.targets)
          kept.insert(JoinPath(
              directory, HexEncode(target.sha256.empty() ? target.sha512
                                                         : target.sha256)));
  for (const std::string& name : names)
    if (!kept.contains(name)) SHOAL_RETURN_IF_ERROR(fs.Remove(name));
  return absl::OkStatus();
}

absl::Status Updater::Impl::WithRoom(
    const std::function<absl::Status()>& write) {
  absl::Status status = write();
  if (ReasonOf(status) != "disk_full" || options.anchored_by_root)
    return status;
  LogWarn("disk_full", {{"dropped", "delegated metadata"}});
  for (const std::string& file : RoleFiles()) Warn(fs.Remove(file));
  status = write();
  if (ReasonOf(status) != "disk_full") return status;
  const std::string directory = Path("targets");
  if (const auto names = fs.List(directory); names.ok())
    for (const std::string& name : *names)
      Warn(fs.Remove(JoinPath(directory, name)));
  return write();
}

}  // namespace shoal::signing
