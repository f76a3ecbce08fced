#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "signing/metadata/json.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {
namespace {

using nlohmann::json;

json KeyJson(const Key& key) {
  return {{"keytype", key.type},
          {"scheme", key.scheme},
          {"keyval",
           {{"public",
             key.supported ? HexEncode(key.public_key) : key.public_key}}}};
}

json KeysJson(const std::map<std::string, Key>& keys) {
  json result = json::object();
  for (const auto& [id, key] : keys) result[id] = KeyJson(key);
  return result;
}

json RoleJson(const RoleKeys& role) {
  return {{"keyids", role.key_ids}, {"threshold", role.threshold}};
}

json CommonJson(const char* type, const SignedCommon& common) {
  return {{"_type", type},
          {"spec_version", "1.0.31"},
          {"version", common.version},
          {"expires", FormatExpires(common.expires)}};
}

json MetaJson(const MetaFile& file) {
  json result = {{"version", file.version}};
  if (file.length) result["length"] = *file.length;
  if (file.sha256) result["hashes"]["sha256"] = HexEncode(*file.sha256);
  if (file.sha512) result["hashes"]["sha512"] = HexEncode(*file.sha512);
  return result;
}

json HexList(const std::vector<std::string>& keys) {
  json result = json::array();
  for (const std::string& key : keys) result.push_back(HexEncode(key));
  return result;
}

json DelegationJson(const DelegatedRole& role) {
  json result = RoleJson(role.keys);
  result["name"] = role.name;
  result["terminating"] = role.terminating;
  if (role.path_hash_prefixes.empty())
    result["paths"] = role.paths;
  else
    result["path_hash_prefixes"] = role.path_hash_prefixes;
  return result;
}

json DelegationsJson(const Delegations& delegations) {
  json result = {{"keys", KeysJson(delegations.keys)}};
  if (delegations.succinct) {
    json& succinct = result["succinct_roles"];
    succinct = RoleJson(delegations.succinct->keys);
    succinct["bit_length"] = delegations.succinct->bit_length;
    succinct["name_prefix"] = delegations.succinct->name_prefix;
    return result;
  }
  result["roles"] = json::array();
  for (const DelegatedRole& role : delegations.roles)
    result["roles"].push_back(DelegationJson(role));
  return result;
}

}  // namespace

Key MakeEd25519Key(std::string_view public_key) {
  Key key{"", "ed25519", "ed25519", std::string(public_key), true};
  key.id = HexEncode(crypto::Sha256Digest(Canonicalize(KeyJson(key))));
  return key;
}

std::string FormatRoot(const Root& root) {
  json result = CommonJson("root", root);
  result["consistent_snapshot"] = root.consistent_snapshot;
  result["keys"] = KeysJson(root.keys);
  result["roles"] = json::object();
  for (const auto& [name, role] : root.roles)
    result["roles"][name] = RoleJson(role);
  return result.dump();
}

std::string FormatTimestamp(const Timestamp& timestamp) {
  json result = CommonJson("timestamp", timestamp);
  result["meta"]["snapshot.json"] = MetaJson(timestamp.snapshot);
  if (timestamp.log)
    result["shoal"]["log"] = {{"root", HexEncode(timestamp.log->root)},
                              {"size", timestamp.log->size},
                              {"snapshot", timestamp.log->snapshot}};
  return result.dump();
}

std::string FormatSnapshot(const Snapshot& snapshot) {
  json result = CommonJson("snapshot", snapshot);
  result["meta"] = json::object();
  for (const auto& [name, file] : snapshot.meta)
    result["meta"][name + ".json"] = MetaJson(file);
  return result.dump();
}

std::string FormatTargets(const Targets& targets) {
  json result = CommonJson("targets", targets);
  result["targets"] = json::object();
  for (const auto& [path, file] : targets.targets) {
    json entry = {{"length", file.length},
                  {"hashes", {{"sha256", HexEncode(file.sha256)}}}};
    if (!file.sha512.empty())
      entry["hashes"]["sha512"] = HexEncode(file.sha512);
    // Text that is no JSON becomes a string here, which the parser that every
    // signature goes through refuses.
    if (!file.custom.empty()) {
      json custom = json::parse(file.custom, nullptr, false);
      entry["custom"] =
          custom.is_discarded() ? json(file.custom) : std::move(custom);
    }
    result["targets"][path] = std::move(entry);
  }
  if (targets.delegations)
    result["delegations"] = DelegationsJson(*targets.delegations);
  if (targets.fleet_keys) {
    const FleetKeys& keys = *targets.fleet_keys;
    json object = {{"device_ca", HexList(keys.device_ca)},
                   {"node_ca", HexList(keys.node_ca)},
                   {"time", HexList(keys.time)}};
    if (!keys.telemetry.empty())
      object["telemetry"] = HexEncode(keys.telemetry);
    // Left out when there is none: older files stay what they were.
    for (const Manufacturer& one : keys.manufacturers) {
      json entry = {{"name", one.name}, {"key", HexEncode(one.key)}};
      if (!one.device_types.empty()) entry["device_types"] = one.device_types;
      object["manufacturers"].push_back(std::move(entry));
    }
    result["shoal"] = std::move(object);
  }
  return result.dump();
}

}  // namespace shoal::signing
