#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/metadata/json.h"
#include "signing/tool/change.h"
#include "signing/tool/commands.h"

namespace shoal::signing {
namespace {

constexpr const char* kOnlineNames[] = {"director",  "snapshot", "timestamp",
                                        "device_ca", "node_ca",  "telemetry"};
constexpr size_t kMaxRoleKeys = 16;

absl::StatusOr<std::map<std::string, std::string>> MakeOnlineKeys(
    Workspace& work) {
  std::map<std::string, std::string> keys;
  for (const std::string name : kOnlineNames) {
    if (name != "telemetry") {
      SHOAL_ASSIGN_OR_RETURN(keys[name], work.NewKey(name));
      continue;
    }
    if (work.options().dry_run) {
      keys[name] = crypto::BoxKey::Generate().public_key();
      continue;
    }
    SHOAL_ASSIGN_OR_RETURN(const crypto::BoxKey key,
                           work.keys()->CreateBox(name));
    keys[name] = key.public_key();
  }
  return keys;
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ReadOnlineKeys(
    const std::string& file) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text,
                         RealFileSystem().Read(file, 65536));
  SHOAL_ASSIGN_OR_RETURN(const nlohmann::json json,
                         ParseStrictJson(text, 65536));
  std::map<std::string, std::string> keys;
  for (const char* name : kOnlineNames) {
    if (!json.is_object() || !json.contains(name) || !json[name].is_string())
      return InvalidArgument("bad_online_keys",
                             fmt::format("{} lacks '{}'", file, name));
    auto key = HexDecode(json[name].get_ref<const std::string&>());
    if (!key.ok() || key->size() != 32)
      return InvalidArgument(
          "bad_online_keys",
          fmt::format("'{}' in {} is not 32 bytes in hex", name, file));
    keys[name] = *std::move(key);
  }
  return keys;
}

std::string AddKey(std::map<std::string, Key>& keys,
                   std::string_view public_key) {
  Key key = MakeEd25519Key(public_key);
  std::string id = key.id;
  keys.emplace(id, std::move(key));
  return id;
}

absl::StatusOr<RoleKeys> ChooseKeys(Workspace& work, const std::string& name,
                                    const KeyChoice& choice,
                                    std::map<std::string, Key>& keys) {
  const size_t count = choice.keys.empty()
                           ? static_cast<size_t>(std::max(choice.new_keys, 0))
                           : choice.keys.size();
  if (choice.threshold < 1 || count > kMaxRoleKeys ||
      count < static_cast<size_t>(choice.threshold))
    return InvalidArgument(
        "bad_threshold",
        fmt::format("{}: a threshold of {} with {} keys; it is at least 1, at "
                    "most the number of keys, and there are at most {}",
                    name, choice.threshold, count, kMaxRoleKeys));
  RoleKeys role;
  role.threshold = static_cast<uint32_t>(choice.threshold);
  for (size_t i = 0; i < count; ++i) {
    std::string key;
    if (choice.keys.empty()) {
      SHOAL_ASSIGN_OR_RETURN(
          key, work.NewKey(count == 1 && name != "root"
                               ? name
                               : fmt::format("{}-{}", name, i + 1)));
    } else {
      SHOAL_ASSIGN_OR_RETURN(key, work.tree().FindKey(choice.keys[i], keys));
      if (!work.options().dry_run) {
        // The file's name is the custodian's: keys/alice.pub.
        std::string shown = choice.keys[i];
        shown = shown.substr(shown.rfind('/') + 1);
        if (shown.ends_with(".pub")) shown.resize(shown.size() - 4);
        SHOAL_RETURN_IF_ERROR(work.tree().RememberKey(shown, key));
      }
    }
    std::string id = AddKey(keys, key);
    if (std::find(role.key_ids.begin(), role.key_ids.end(), id) !=
        role.key_ids.end())
      return InvalidArgument(
          "bad_threshold",
          fmt::format("{}: {} is named twice", name, work.tree().NameOf(key)));
    role.key_ids.push_back(std::move(id));
  }
  return role;
}

absl::Status RunInit(const Options& options, const InitOptions& init) {
  // Read before any key is made, so that a bad file leaves nothing behind.
  std::map<std::string, std::string> online;
  if (!init.online.empty()) {
    SHOAL_ASSIGN_OR_RETURN(online, ReadOnlineKeys(init.online));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options, true));
  std::vector<std::string> names;
  if (work->keys() != nullptr && init.root.keys.empty()) {
    SHOAL_ASSIGN_OR_RETURN(names, work->keys()->List());
  }
  if (!work->tree().in_force().empty() || !work->tree().drafts().empty() ||
      !names.empty())
    return MakeError(absl::StatusCode::kAlreadyExists, "fleet_exists",
                     "the repository or the key directory is in use already");

  Root root;
  SHOAL_ASSIGN_OR_RETURN(root.roles["root"],
                         ChooseKeys(*work, "root", init.root, root.keys));
  SHOAL_ASSIGN_OR_RETURN(root.roles["targets"],
                         ChooseKeys(*work, "targets", init.targets, root.keys));
  Targets targets;
  Delegations delegations;
  DelegatedRole policy{"policy", {}, true, {"policy/*"}, {}};
  SHOAL_ASSIGN_OR_RETURN(
      policy.keys, ChooseKeys(*work, "policy", init.policy, delegations.keys));
  if (online.empty()) {
    SHOAL_ASSIGN_OR_RETURN(online, MakeOnlineKeys(*work));
  }
  for (const char* name : {"snapshot", "timestamp"})
    root.roles[name].key_ids = {AddKey(root.keys, online[name])};
  DelegatedRole director{"director", {}, false, {"director/*/*/*"}, {}};
  director.keys.key_ids = {AddKey(delegations.keys, online["director"])};
  delegations.roles = {std::move(policy), std::move(director)};
  targets.delegations = std::move(delegations);
  targets.fleet_keys = FleetKeys{
      {online["device_ca"]}, {online["node_ca"]}, online["telemetry"], {}};

  Change change(*work);
  SHOAL_RETURN_IF_ERROR(change.Propose(root));
  SHOAL_RETURN_IF_ERROR(change.Propose("targets", targets));
  SHOAL_RETURN_IF_ERROR(change.Propose("policy", {}));
  if (init.online.empty())
    SHOAL_RETURN_IF_ERROR(change.Propose("director", {}));
  SHOAL_RETURN_IF_ERROR(change.Finish());
  if (init.root.keys.empty() && !options.dry_run)
    fmt::print("keys are in {}; keep copies of the root keys in places apart\n",
               options.keys);
  return absl::OkStatus();
}

}  // namespace shoal::signing
