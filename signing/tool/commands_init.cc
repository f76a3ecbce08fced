#include <fmt/format.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/metadata/json.h"
#include "signing/tool/commands.h"

namespace shoal::signing {
namespace {

constexpr const char* kOnlineNames[] = {"director",  "snapshot", "timestamp",
                                        "device_ca", "node_ca",  "telemetry"};

// Adds `public_key` to `keys` and returns its id.
std::string AddKey(std::map<std::string, Key>& keys,
                   std::string_view public_key) {
  Key key = MakeEd25519Key(public_key);
  std::string id = key.id;
  keys.emplace(id, std::move(key));
  return id;
}

absl::StatusOr<std::map<std::string, std::string>> MakeOnlineKeys(
    KeyStore& store) {
  std::map<std::string, std::string> keys;
  for (const std::string name : kOnlineNames) {
    if (name == "telemetry") {
      SHOAL_ASSIGN_OR_RETURN(const crypto::BoxKey key, store.CreateBox(name));
      keys[name] = key.public_key();
    } else {
      SHOAL_ASSIGN_OR_RETURN(const crypto::SigningKey key, store.Create(name));
      keys[name] = key.public_key();
    }
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

absl::Status RunInit(const Options& options, const InitOptions& init) {
  if (init.root_keys < 1 || init.root_keys > 16 || init.root_threshold < 1 ||
      init.root_threshold > init.root_keys)
    return InvalidArgument("bad_threshold",
                           "1 <= --root-threshold <= --root-keys <= 16");
  // Read before any key is made, so that a bad file leaves nothing behind.
  std::map<std::string, std::string> online;
  if (!init.online.empty()) {
    SHOAL_ASSIGN_OR_RETURN(online, ReadOnlineKeys(init.online));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options, true));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t existing, work->NewestVersion("root"));
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         work->keys().List());
  if (existing != 0 || !names.empty())
    return MakeError(absl::StatusCode::kAlreadyExists, "fleet_exists",
                     "the repository or the key directory is in use already");

  Root root;
  root.version = 1;
  root.expires = work->Expires();
  RoleKeys& root_role = root.roles["root"];
  root_role.threshold = static_cast<uint32_t>(init.root_threshold);
  std::vector<crypto::SigningKey> root_signers;
  for (int i = 1; i <= init.root_keys; ++i) {
    SHOAL_ASSIGN_OR_RETURN(crypto::SigningKey key,
                           work->keys().Create(fmt::format("root-{}", i)));
    root_role.key_ids.push_back(AddKey(root.keys, key.public_key()));
    root_signers.push_back(std::move(key));
  }
  SHOAL_ASSIGN_OR_RETURN(const crypto::SigningKey targets_key,
                         work->keys().Create("targets"));
  SHOAL_ASSIGN_OR_RETURN(const crypto::SigningKey policy_key,
                         work->keys().Create("policy"));
  if (online.empty()) {
    SHOAL_ASSIGN_OR_RETURN(online, MakeOnlineKeys(work->keys()));
  }
  root.roles["targets"].key_ids = {AddKey(root.keys, targets_key.public_key())};
  root.roles["snapshot"].key_ids = {AddKey(root.keys, online["snapshot"])};
  root.roles["timestamp"].key_ids = {AddKey(root.keys, online["timestamp"])};
  SHOAL_ASSIGN_OR_RETURN(const std::string root_bytes,
                         SignRoot(root, Pointers(root_signers)));

  Targets targets;
  Delegations delegations;
  DelegatedRole policy{"policy", {}, true, {"policy/*"}, {}};
  policy.keys.key_ids = {AddKey(delegations.keys, policy_key.public_key())};
  DelegatedRole director{"director", {}, false, {"director/*/*/*"}, {}};
  director.keys.key_ids = {AddKey(delegations.keys, online["director"])};
  delegations.roles = {std::move(policy), std::move(director)};
  targets.delegations = std::move(delegations);
  targets.fleet_keys = FleetKeys{
      {online["device_ca"]}, {online["node_ca"]}, online["telemetry"], {}};

  SHOAL_RETURN_IF_ERROR(work->WriteVersion("root", 1, root_bytes));
  SHOAL_RETURN_IF_ERROR(work->WriteTargets(targets));
  SHOAL_RETURN_IF_ERROR(work->WriteDelegated(targets, "policy", {}));
  if (init.online.empty())
    SHOAL_RETURN_IF_ERROR(work->WriteDelegated(targets, "director", {}));
  fmt::print("fleet id: {}\n", HexEncode(crypto::Sha256Digest(root_bytes)));
  fmt::print("keys: {} in {}; keep copies of the root keys in places apart\n",
             names.size() + static_cast<size_t>(init.root_keys) + 2 +
                 (init.online.empty() ? std::size(kOnlineNames) : 0),
             options.keys);
  return absl::OkStatus();
}

}  // namespace shoal::signing
