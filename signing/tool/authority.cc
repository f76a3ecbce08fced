// Whose signatures a role needs, and whether it has them.
#include <fmt/format.h>

#include "common/status.h"
#include "signing/tool/tree.h"
#include "signing/verify/updater.h"

namespace shoal::signing {
namespace {

absl::StatusOr<ParsedRoot> RootOf(const RoleFiles& files) {
  const auto it = files.find("root");
  if (it == files.end())
    return NotFound("no_such_role", "there is no root; run shoal-sign init");
  return ParseRoot(it->second.bytes);
}

absl::StatusOr<ParsedTargets> TargetsOf(const RoleFiles& files,
                                        const std::string& role) {
  const auto it = files.find(role);
  if (it == files.end())
    return NotFound("no_such_role", "there is no metadata of " + role);
  return ParseTargets(it->second.bytes);
}

absl::Status WrongVersion(std::string_view role, uint64_t name,
                          uint64_t inside) {
  return DataLoss("wrong_version", fmt::format("{}.{}.json holds version {}",
                                               name, role, inside));
}

absl::Status CheckRoot(const RoleFiles& files, const RoleFiles& before) {
  SHOAL_ASSIGN_OR_RETURN(const ParsedRoot root, RootOf(files));
  const uint64_t version = files.at("root").version;
  if (root.value.version != version)
    return WrongVersion("root", version, root.value.version);
  RoleKeys own = root.value.roles.at("root");
  if (version == 1) own.threshold = static_cast<uint32_t>(own.key_ids.size());
  SHOAL_RETURN_IF_ERROR(VerifySignatures(root.envelope, root.value.keys, own,
                                         "the root, by its own keys,"));
  const auto old = before.find("root");
  if (old == before.end() || old->second.version == version)
    return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const ParsedRoot old_root,
                         ParseRoot(old->second.bytes));
  if (version != old->second.version + 1)
    return DataLoss("wrong_version", fmt::format("root {} can't follow root {}",
                                                 version, old->second.version));
  return VerifySignatures(root.envelope, old_root.value.keys,
                          old_root.value.roles.at("root"),
                          "the root, by the keys in force,");
}

}  // namespace

absl::Status CheckRole(const RoleFiles& files, const std::string& role) {
  SHOAL_ASSIGN_OR_RETURN(const Authority authority, AuthorityOf(files, role));
  SHOAL_ASSIGN_OR_RETURN(const ParsedTargets targets, TargetsOf(files, role));
  const uint64_t version = files.at(role).version;
  if (targets.value.version != version)
    return WrongVersion(role, version, targets.value.version);
  return VerifySignatures(targets.envelope, authority.keys, authority.role,
                          role);
}

absl::StatusOr<Authority> AuthorityOf(const RoleFiles& files,
                                      std::string_view role) {
  if (role == "root" || role == "targets") {
    SHOAL_ASSIGN_OR_RETURN(const ParsedRoot root, RootOf(files));
    return Authority{root.value.keys, root.value.roles.at(std::string(role))};
  }
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets top, TargetsOf(files, "targets"));
  const DelegatedRole* delegation = FindDelegation(top.value, role);
  if (delegation == nullptr)
    return NotFound("no_such_role",
                    fmt::format("targets.json does not delegate to {}", role));
  return Authority{top.value.delegations->keys, delegation->keys};
}

std::map<std::string, absl::Status> Failing(const RoleFiles& files,
                                            const RoleFiles& before) {
  std::map<std::string, absl::Status> failing;
  for (const auto& [role, file] : files) {
    const absl::Status status =
        role == "root" ? CheckRoot(files, before) : CheckRole(files, role);
    if (status.ok()) continue;
    // A role that nobody delegates to any more is history, and a director.json
    // that was in force is the plane's to sign again.
    if (before.contains(role) &&
        (ReasonOf(status) == "no_such_role" ||
         (role == "director" && file.bytes == before.at(role).bytes)))
      continue;
    failing[role] = status;
  }
  if (const auto top = TargetsOf(files, "targets");
      top.ok() && top->value.delegations)
    for (const DelegatedRole& child : top->value.delegations->roles)
      if (!files.contains(child.name) && child.name != "director")
        failing[child.name] =
            NotFound("metadata_missing",
                     "targets.json delegates to it, and it has no file");
  return failing;
}

}  // namespace shoal::signing
