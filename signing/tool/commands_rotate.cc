// Other keys for a role: lost, stolen, or a custodian who leaves.
#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/status.h"
#include "signing/tool/change.h"
#include "signing/tool/commands.h"

namespace shoal::signing {
namespace {

bool IsRootsOwn(const std::string& role) {
  return role == "root" || role == "targets" || role == "snapshot" ||
         role == "timestamp";
}
bool IsFleetKey(const std::string& name) {
  return name == "device_ca" || name == "node_ca" || name == "telemetry" ||
         name == "time";
}

// Keys that no role names any more leave the file.
void DropUnused(std::map<std::string, Key>& keys,
                const std::vector<const RoleKeys*>& roles) {
  std::erase_if(keys, [&](const auto& entry) {
    return std::none_of(roles.begin(), roles.end(), [&](const RoleKeys* role) {
      return std::find(role->key_ids.begin(), role->key_ids.end(),
                       entry.first) != role->key_ids.end();
    });
  });
}
void DropUnused(Root& root) {
  std::vector<const RoleKeys*> roles;
  for (const auto& [name, keys] : root.roles) roles.push_back(&keys);
  DropUnused(root.keys, roles);
}
void DropUnused(Delegations& delegations) {
  std::vector<const RoleKeys*> roles;
  for (const DelegatedRole& one : delegations.roles) roles.push_back(&one.keys);
  DropUnused(delegations.keys, roles);
}

// The keys to come, raw, out of --add, --new and --online.
absl::StatusOr<std::vector<std::string>> KeysToAdd(
    Workspace& work, const RotateOptions& o,
    const std::map<std::string, Key>& known) {
  std::vector<std::string> added;
  for (const std::string& text : o.add) {
    SHOAL_ASSIGN_OR_RETURN(std::string key, work.tree().FindKey(text, known));
    std::string name = text.substr(text.rfind('/') + 1);
    if (name.ends_with(".pub") && !work.options().dry_run) {
      name.resize(name.size() - 4);
      SHOAL_RETURN_IF_ERROR(work.tree().RememberKey(name, key));
    }
    added.push_back(std::move(key));
  }
  for (int i = 0; i < o.new_keys; ++i) {
    SHOAL_ASSIGN_OR_RETURN(std::string key, work.NewKey(o.role));
    added.push_back(std::move(key));
  }
  if (o.online.empty()) return added;
  SHOAL_ASSIGN_OR_RETURN(const auto online, ReadOnlineKeys(o.online));
  const auto it = online.find(o.role);
  if (it == online.end())
    return InvalidArgument("no_such_role",
                           o.role + " is not one of the plane's roles");
  added.push_back(it->second);
  return added;
}

absl::Status NotAKeyOf(const Workspace&, const std::string& text,
                       const std::string& role) {
  return NotFound("no_such_key",
                  fmt::format("'{:.80}' is no key of {}", text, role));
}

// Takes --remove and the new keys into `role`. Without --remove the new keys
// replace a role's only key, or all the plane's; else they are added.
absl::Status Change1(Workspace& work, const RotateOptions& o, RoleKeys& role,
                     std::map<std::string, Key>& keys) {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> added,
                         KeysToAdd(work, o, keys));
  if (added.empty() && o.remove.empty() && o.threshold == 0)
    return InvalidArgument("nothing_to_do",
                           "say --add, --new, --online, --remove or "
                           "--threshold");
  const bool replace =
      o.remove.empty() && !added.empty() &&
      (!o.online.empty() || (role.key_ids.size() == 1 && o.threshold == 0));
  if (replace) role.key_ids.clear();
  for (const std::string& text : o.remove) {
    SHOAL_ASSIGN_OR_RETURN(const std::string key,
                           work.tree().FindKey(text, keys));
    if (std::erase(role.key_ids, MakeEd25519Key(key).id) == 0)
      return NotAKeyOf(work, text, o.role);
  }
  for (const std::string& key : added) {
    const std::string id = AddKey(keys, key);
    if (std::find(role.key_ids.begin(), role.key_ids.end(), id) ==
        role.key_ids.end())
      role.key_ids.push_back(id);
  }
  if (o.threshold > 0) role.threshold = static_cast<uint32_t>(o.threshold);
  return absl::OkStatus();
}

absl::Status ChangeFleetKey(Workspace& work, const RotateOptions& o,
                            Targets& targets) {
  if (!targets.fleet_keys) targets.fleet_keys.emplace();
  FleetKeys& keys = *targets.fleet_keys;
  if (o.role == "telemetry") {
    if (o.new_keys > 0)
      return InvalidArgument("no_such_role",
                             "the plane makes this key: give --online or "
                             "--add");
    SHOAL_ASSIGN_OR_RETURN(const auto added, KeysToAdd(work, o, {}));
    if (added.size() != 1)
      return InvalidArgument("nothing_to_do", "give one telemetry key");
    keys.telemetry = added.front();
    return absl::OkStatus();
  }
  std::vector<std::string>& list = o.role == "device_ca" ? keys.device_ca
                                   : o.role == "node_ca" ? keys.node_ca
                                                         : keys.time;
  SHOAL_ASSIGN_OR_RETURN(const auto added, KeysToAdd(work, o, {}));
  if (added.empty() && o.remove.empty())
    return InvalidArgument("nothing_to_do", "say --add, --online or --remove");
  // As with roles: without --remove the CA's key is replaced. Time keys are
  // many, one a storage node.
  if (o.remove.empty() && o.role != "time") list.clear();
  for (const std::string& text : o.remove) {
    SHOAL_ASSIGN_OR_RETURN(const std::string key,
                           work.tree().FindKey(text, {}));
    if (std::erase(list, key) == 0) return NotAKeyOf(work, text, o.role);
  }
  for (const std::string& key : added)
    if (std::find(list.begin(), list.end(), key) == list.end())
      list.push_back(key);
  return absl::OkStatus();
}

absl::Status RotateOne(Workspace& work, const RotateOptions& o, Root& root,
                       Targets& targets) {
  if (IsRootsOwn(o.role)) {
    SHOAL_RETURN_IF_ERROR(Change1(work, o, root.roles.at(o.role), root.keys));
    DropUnused(root);
    return absl::OkStatus();
  }
  if (IsFleetKey(o.role)) return ChangeFleetKey(work, o, targets);
  DelegatedRole* role = FindDelegation(targets, o.role);
  if (role == nullptr)
    return NotFound("no_such_role",
                    fmt::format("there is no role '{:.80}'", o.role));
  SHOAL_RETURN_IF_ERROR(
      Change1(work, o, role->keys, targets.delegations->keys));
  DropUnused(*targets.delegations);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunRotate(const Options& options, const RotateOptions& rotate) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options));
  SHOAL_ASSIGN_OR_RETURN(Root root, work->NewestRoot());
  SHOAL_ASSIGN_OR_RETURN(Targets targets, work->NewestTargets("targets"));
  std::vector<std::string> roles = {rotate.role};
  if (rotate.role == "online") {
    if (rotate.online.empty())
      return InvalidArgument("bad_online_keys",
                             "give the plane's public keys with --online");
    roles = {"snapshot",  "timestamp", "director",
             "device_ca", "node_ca",   "telemetry"};
  }
  bool in_root = false;
  bool in_targets = false;
  for (const std::string& role : roles) {
    RotateOptions one = rotate;
    one.role = role;
    SHOAL_RETURN_IF_ERROR(RotateOne(*work, one, root, targets));
    (IsRootsOwn(role) ? in_root : in_targets) = true;
  }
  Change change(*work);
  if (in_root) SHOAL_RETURN_IF_ERROR(change.Propose(root));
  if (in_targets) SHOAL_RETURN_IF_ERROR(change.Propose("targets", targets));
  return change.Finish();
}

absl::Status RunRenew(const Options& options, std::vector<std::string> roles,
                      int within_days) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options));
  if (within_days > 0) {
    const absl::Time until = work->Expires() -
                             absl::Hours(24 * options.expires_days) +
                             absl::Hours(24 * within_days);
    for (const auto& [role, file] : work->tree().in_force()) {
      absl::Time expires;
      if (role == "root") {
        SHOAL_ASSIGN_OR_RETURN(const ParsedRoot root, ParseRoot(file.bytes));
        expires = root.value.expires;
      } else {
        SHOAL_ASSIGN_OR_RETURN(const ParsedTargets t, ParseTargets(file.bytes));
        expires = t.value.expires;
      }
      if (expires <= until && AuthorityOf(work->tree().in_force(), role).ok())
        roles.push_back(role);
    }
    if (roles.empty()) {
      fmt::print("nothing expires within {} days\n", within_days);
      return absl::OkStatus();
    }
  }
  if (roles.empty())
    return InvalidArgument("nothing_to_do", "name roles, or --within-days N");
  Change change(*work);
  for (const std::string& role : roles) {
    if (role == "root") {
      SHOAL_ASSIGN_OR_RETURN(const Root root, work->NewestRoot());
      SHOAL_RETURN_IF_ERROR(change.Propose(root));
      continue;
    }
    SHOAL_ASSIGN_OR_RETURN(const Targets targets, work->NewestTargets(role));
    SHOAL_RETURN_IF_ERROR(change.Propose(role, targets));
  }
  return change.Finish();
}

}  // namespace shoal::signing
