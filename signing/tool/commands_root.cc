#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/tool/commands.h"
#include "signing/verify/updater.h"

namespace shoal::signing {
namespace {

// The public key that takes ROLE's place: the plane's out of `online`, or a
// new one in the key directory, "ROLE-r2" and so on.
absl::StatusOr<std::string> NewPublicKey(Workspace& work,
                                         const std::string& role,
                                         const std::string& online) {
  if (!online.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const auto keys, ReadOnlineKeys(online));
    const auto it = keys.find(role);
    if (it == keys.end())
      return InvalidArgument("no_such_role",
                             role + " is not one of the plane's roles");
    return it->second;
  }
  for (int n = 2;; ++n) {
    const std::string name = fmt::format("{}-r{}", role, n);
    if (work.keys().Has(name)) continue;
    if (role == "telemetry") {
      SHOAL_ASSIGN_OR_RETURN(const crypto::BoxKey key,
                             work.keys().CreateBox(name));
      return key.public_key();
    }
    SHOAL_ASSIGN_OR_RETURN(const crypto::SigningKey key,
                           work.keys().Create(name));
    return key.public_key();
  }
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

void Replace(std::map<std::string, Key>& keys, RoleKeys& role,
             const std::string& old_id, std::string_view public_key) {
  Key key = MakeEd25519Key(public_key);
  if (old_id.empty())
    role.key_ids = {key.id};
  else
    std::replace(role.key_ids.begin(), role.key_ids.end(), old_id, key.id);
  keys.emplace(key.id, std::move(key));
}

// Says how many signatures the newest root still needs.
absl::Status ReportRoot(Workspace& work, const std::string& bytes) {
  SHOAL_ASSIGN_OR_RETURN(const ParsedRoot root, ParseRoot(bytes));
  absl::Status status = VerifySignatures(root.envelope, root.value.keys,
                                         root.value.roles.at("root"),
                                         "the new root, by its own keys,");
  if (status.ok() && root.value.version > 1) {
    SHOAL_ASSIGN_OR_RETURN(const std::string old_bytes,
                           work.ReadMetadata("root", root.value.version - 1));
    SHOAL_ASSIGN_OR_RETURN(const ParsedRoot old, ParseRoot(old_bytes));
    status = VerifySignatures(root.envelope, old.value.keys,
                              old.value.roles.at("root"),
                              "the new root, by the old keys,");
  }
  fmt::print("root {}: {} signatures; {}\n", root.value.version,
             root.envelope.signatures.size(),
             status.ok() ? "complete"
                         : "incomplete: " + std::string(status.message()) +
                               "; run shoal-sign root add-signature where the "
                               "other keys are");
  return absl::OkStatus();
}

// Signs with the keys at hand of the old and the new root role.
absl::StatusOr<std::string> SignNewRoot(Workspace& work, const Root& old,
                                        const Root& next) {
  SHOAL_ASSIGN_OR_RETURN(std::vector<crypto::SigningKey> signers,
                         work.LoadSigners(old.keys, old.roles.at("root")));
  SHOAL_ASSIGN_OR_RETURN(std::vector<crypto::SigningKey> own,
                         work.LoadSigners(next.keys, next.roles.at("root")));
  for (crypto::SigningKey& key : own)
    if (std::none_of(signers.begin(), signers.end(), [&](const auto& other) {
          return other.public_key() == key.public_key();
        }))
      signers.push_back(std::move(key));
  return SignRoot(next, Pointers(signers));
}

absl::Status RotateInRoot(Workspace& work, const std::string& role,
                          const std::string& old_name,
                          const std::string& public_key) {
  SHOAL_ASSIGN_OR_RETURN(const ParsedRoot old, work.NewestRoot());
  Root next = old.value;
  next.version += 1;
  next.expires = work.Expires();
  std::string old_id;
  if (!old_name.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string old_key,
                           work.keys().PublicKey(old_name));
    old_id = MakeEd25519Key(old_key).id;
    const auto& ids = next.roles[role].key_ids;
    if (std::find(ids.begin(), ids.end(), old_id) == ids.end())
      return NotFound("no_such_key", old_name + " is not a root key in force");
  }
  Replace(next.keys, next.roles[role], old_id, public_key);
  std::vector<const RoleKeys*> roles;
  for (const auto& [name, keys] : next.roles) roles.push_back(&keys);
  DropUnused(next.keys, roles);
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         SignNewRoot(work, old.value, next));
  SHOAL_RETURN_IF_ERROR(work.WriteVersion("root", next.version, bytes));
  SHOAL_RETURN_IF_ERROR(ReportRoot(work, bytes));
  if (role != "targets") return absl::OkStatus();
  // The same content again, by the new key.
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets targets, work.NewestTargets("targets"));
  return work.WriteTargets(std::move(targets.value));
}

absl::Status RotateInTargets(Workspace& work, const std::string& role,
                             bool online, const std::string& public_key) {
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets parsed, work.NewestTargets("targets"));
  Targets& targets = parsed.value;
  if (!targets.fleet_keys) targets.fleet_keys.emplace();
  bool resign = false;
  if (role == "device_ca") {
    targets.fleet_keys->device_ca = {public_key};
  } else if (role == "node_ca") {
    targets.fleet_keys->node_ca = {public_key};
  } else if (role == "telemetry") {
    targets.fleet_keys->telemetry = public_key;
  } else {
    Replace(targets.delegations->keys, FindDelegation(targets, role)->keys, "",
            public_key);
    std::vector<const RoleKeys*> roles;
    for (const DelegatedRole& delegation : targets.delegations->roles)
      roles.push_back(&delegation.keys);
    DropUnused(targets.delegations->keys, roles);
    resign = !online;
  }
  if (resign) {
    SHOAL_ASSIGN_OR_RETURN(ParsedTargets own, work.NewestTargets(role));
    SHOAL_RETURN_IF_ERROR(
        work.WriteDelegated(targets, role, std::move(own.value)));
  }
  return work.WriteTargets(targets);
}

}  // namespace

absl::Status RunRootAddSignature(const Options& options) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options, false));
  SHOAL_ASSIGN_OR_RETURN(const ParsedRoot root, work->NewestRoot());
  const uint64_t version = root.value.version;
  SHOAL_ASSIGN_OR_RETURN(std::string bytes,
                         work->ReadMetadata("root", version));
  // Version 1 names the fleet by its bytes: it can't change any more.
  if (version == 1)
    return FailedPrecondition("fleet_exists",
                              "root 1 is the fleet's id and stays as it is");
  SHOAL_ASSIGN_OR_RETURN(const std::string old_bytes,
                         work->ReadMetadata("root", version - 1));
  SHOAL_ASSIGN_OR_RETURN(const ParsedRoot old, ParseRoot(old_bytes));
  for (const Root* by : {&old.value, &root.value}) {
    RoleKeys all = by->roles.at("root");
    all.threshold = static_cast<uint32_t>(all.key_ids.size());
    SHOAL_ASSIGN_OR_RETURN(const std::vector<crypto::SigningKey> signers,
                           work->LoadSigners(by->keys, all));
    for (const crypto::SigningKey& signer : signers) {
      SHOAL_ASSIGN_OR_RETURN(bytes, AddSignature(bytes, signer));
    }
  }
  SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(
      work->MetadataPath(fmt::format("{}.root.json", version)), bytes));
  return ReportRoot(*work, bytes);
}

absl::Status RunRenew(const Options& options, const std::string& role) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options, false));
  if (role == "root") {
    SHOAL_ASSIGN_OR_RETURN(const ParsedRoot old, work->NewestRoot());
    Root next = old.value;
    next.version += 1;
    next.expires = work->Expires();
    SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                           SignNewRoot(*work, old.value, next));
    SHOAL_RETURN_IF_ERROR(work->WriteVersion("root", next.version, bytes));
    return ReportRoot(*work, bytes);
  }
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets top, work->NewestTargets("targets"));
  if (role != "targets") {
    if (FindDelegation(top.value, role) == nullptr)
      return NotFound("no_such_role", "there is no role " + role);
    SHOAL_ASSIGN_OR_RETURN(ParsedTargets own, work->NewestTargets(role));
    SHOAL_RETURN_IF_ERROR(
        work->WriteDelegated(top.value, role, std::move(own.value)));
  } else {
    SHOAL_RETURN_IF_ERROR(work->WriteTargets(std::move(top.value)));
  }
  fmt::print("{}: valid until {}\n", role, FormatExpires(work->Expires()));
  return absl::OkStatus();
}

absl::Status RunRootRotateKey(const Options& options, const std::string& role,
                              const std::string& online) {
  if (!IsIdentifier(role, 120))
    return InvalidArgument("bad_name", "a role's name is an identifier");
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options, false));
  const bool root_key = role.rfind("root-", 0) == 0;
  const bool top = root_key || role == "targets" || role == "snapshot" ||
                   role == "timestamp";
  if (!top && role != "device_ca" && role != "node_ca" && role != "telemetry") {
    SHOAL_ASSIGN_OR_RETURN(ParsedTargets targets,
                           work->NewestTargets("targets"));
    if (FindDelegation(targets.value, role) == nullptr)
      return NotFound("no_such_role", "there is no role " + role);
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string public_key,
                         NewPublicKey(*work, role, online));
  SHOAL_RETURN_IF_ERROR(
      top ? RotateInRoot(*work, root_key ? "root" : role,
                         root_key ? role : std::string(), public_key)
          : RotateInTargets(*work, role, !online.empty(), public_key));
  fmt::print("{}: new key {}\n", role, HexEncode(public_key));
  return absl::OkStatus();
}

}  // namespace shoal::signing
