#include <fmt/format.h>

#include <limits>
#include <set>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/metadata/json.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {
namespace {

using nlohmann::json;

constexpr size_t kMaxSignatures = 64;
constexpr uint32_t kMaxThreshold = 1024;

absl::Status Bad(std::string_view what) {
  return InvalidArgument("bad_metadata", what);
}

absl::StatusOr<const json*> Member(const json& object, const char* key,
                                   json::value_t type) {
  if (!object.is_object())
    return Bad(fmt::format("no object around '{}'", key));
  const auto it = object.find(key);
  if (it == object.end() || it->type() != type)
    return Bad(fmt::format("'{}' is missing or has the wrong type", key));
  return &*it;
}
absl::StatusOr<const json*> Object(const json& object, const char* key) {
  return Member(object, key, json::value_t::object);
}
absl::StatusOr<const json*> Array(const json& object, const char* key) {
  return Member(object, key, json::value_t::array);
}
absl::StatusOr<std::string> String(const json& object, const char* key) {
  SHOAL_ASSIGN_OR_RETURN(const json* value,
                         Member(object, key, json::value_t::string));
  return value->get<std::string>();
}
absl::StatusOr<uint64_t> Number(const json& object, const char* key,
                                uint64_t min) {
  SHOAL_ASSIGN_OR_RETURN(const json* value,
                         Member(object, key, json::value_t::number_unsigned));
  if (value->get<uint64_t>() < min)
    return Bad(fmt::format("'{}' is below {}", key, min));
  return value->get<uint64_t>();
}

absl::StatusOr<std::string> Hex(const json& value, size_t bytes,
                                std::string_view what) {
  if (value.is_string()) {
    auto decoded = HexDecode(value.get_ref<const std::string&>());
    if (decoded.ok() && decoded->size() == bytes) return decoded;
  }
  return Bad(fmt::format("{} is not {} bytes in hex", what, bytes));
}

absl::StatusOr<absl::Time> Expires(const json& object) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text, String(object, "expires"));
  absl::Time time;
  std::string error;
  if (text.size() != 20 || text.back() != 'Z' ||
      !absl::ParseTime("%Y-%m-%dT%H:%M:%SZ", text, &time, &error) ||
      FormatExpires(time) != text)
    return Bad("'expires' is not of the form 2026-01-01T00:00:00Z");
  return time;
}

absl::StatusOr<Key> ParseKey(const json& object) {
  Key key;
  // The id covers the whole object, unknown fields included, and is computed
  // here: what the file calls the key counts for nothing (T11).
  key.id = HexEncode(crypto::Sha256Digest(Canonicalize(object)));
  SHOAL_ASSIGN_OR_RETURN(key.type, String(object, "keytype"));
  SHOAL_ASSIGN_OR_RETURN(key.scheme, String(object, "scheme"));
  SHOAL_ASSIGN_OR_RETURN(const json* value, Object(object, "keyval"));
  SHOAL_ASSIGN_OR_RETURN(key.public_key, String(*value, "public"));
  if (key.type == "ed25519" && key.scheme == "ed25519") {
    SHOAL_ASSIGN_OR_RETURN(
        key.public_key, Hex((*value)["public"], 32, "an ed25519 public key"));
    key.supported = true;
  }
  return key;
}

// A key whose stated id is not its own is left out rather than renamed, so
// that no role can name it under either.
absl::StatusOr<std::map<std::string, Key>> ParseKeys(const json& object) {
  SHOAL_ASSIGN_OR_RETURN(const json* keys, Object(object, "keys"));
  std::map<std::string, Key> result;
  for (const auto& [id, value] : keys->items()) {
    SHOAL_ASSIGN_OR_RETURN(Key key, ParseKey(value));
    if (key.id == id) result.emplace(id, std::move(key));
  }
  return result;
}

absl::StatusOr<RoleKeys> ParseRoleKeys(const json& object) {
  RoleKeys role;
  SHOAL_ASSIGN_OR_RETURN(const uint64_t threshold,
                         Number(object, "threshold", 1));
  if (threshold > kMaxThreshold) return Bad("'threshold' is absurd");
  role.threshold = static_cast<uint32_t>(threshold);
  SHOAL_ASSIGN_OR_RETURN(const json* ids, Array(object, "keyids"));
  std::set<std::string> seen;
  for (const json& id : *ids) {
    if (!id.is_string()) return Bad("a key id is not a string");
    if (!seen.insert(id.get<std::string>()).second)
      return Bad("a role names a key id twice");
    role.key_ids.push_back(id.get<std::string>());
  }
  return role;
}

// Hash algorithms other than sha256 are tolerated beside it, never instead.
absl::StatusOr<std::optional<std::string>> ParseHashes(const json& object,
                                                       bool required) {
  const auto it = object.find("hashes");
  if (it == object.end() && !required) return std::nullopt;
  SHOAL_ASSIGN_OR_RETURN(const json* hashes, Object(object, "hashes"));
  const auto sha256 = hashes->find("sha256");
  if (sha256 == hashes->end()) return Bad("'hashes' lacks sha256");
  SHOAL_ASSIGN_OR_RETURN(std::string digest, Hex(*sha256, 32, "a sha256"));
  return digest;
}

absl::StatusOr<MetaFile> ParseMetaFile(const json& object) {
  MetaFile file;
  SHOAL_ASSIGN_OR_RETURN(file.version, Number(object, "version", 1));
  if (object.contains("length")) {
    SHOAL_ASSIGN_OR_RETURN(file.length, Number(object, "length", 1));
  }
  SHOAL_ASSIGN_OR_RETURN(file.sha256, ParseHashes(object, false));
  return file;
}

absl::StatusOr<std::vector<std::string>> ParseHexKeys(const json& object,
                                                      const char* key) {
  std::vector<std::string> result;
  if (!object.contains(key)) return result;
  SHOAL_ASSIGN_OR_RETURN(const json* array, Array(object, key));
  for (const json& value : *array) {
    SHOAL_ASSIGN_OR_RETURN(std::string bytes, Hex(value, 32, key));
    result.push_back(std::move(bytes));
  }
  return result;
}

absl::StatusOr<FleetKeys> ParseFleetKeys(const json& object) {
  FleetKeys keys;
  SHOAL_ASSIGN_OR_RETURN(keys.device_ca, ParseHexKeys(object, "device_ca"));
  SHOAL_ASSIGN_OR_RETURN(keys.node_ca, ParseHexKeys(object, "node_ca"));
  SHOAL_ASSIGN_OR_RETURN(keys.time, ParseHexKeys(object, "time"));
  if (object.contains("telemetry")) {
    SHOAL_ASSIGN_OR_RETURN(keys.telemetry,
                           Hex(object["telemetry"], 32, "telemetry"));
  }
  return keys;
}

absl::StatusOr<std::vector<std::string>> Strings(const json& object,
                                                 const char* key) {
  SHOAL_ASSIGN_OR_RETURN(const json* array, Array(object, key));
  std::vector<std::string> result;
  for (const json& value : *array) {
    if (!value.is_string())
      return Bad(fmt::format("'{}' holds no strings", key));
    result.push_back(value.get<std::string>());
  }
  return result;
}

absl::StatusOr<DelegatedRole> ParseDelegatedRole(const json& object) {
  DelegatedRole role;
  SHOAL_ASSIGN_OR_RETURN(role.name, String(object, "name"));
  // A role's name becomes part of a file name (T34), and must not shadow a
  // top-level role in the store.
  if (!IsIdentifier(role.name, 128) || role.name == "root" ||
      role.name == "timestamp" || role.name == "snapshot" ||
      role.name == "targets")
    return Bad("a delegated role has an unusable name");
  SHOAL_ASSIGN_OR_RETURN(role.keys, ParseRoleKeys(object));
  SHOAL_ASSIGN_OR_RETURN(const json* terminating,
                         Member(object, "terminating", json::value_t::boolean));
  role.terminating = terminating->get<bool>();
  const bool paths = object.contains("paths");
  if (paths == object.contains("path_hash_prefixes"))
    return Bad("a delegation needs either paths or path_hash_prefixes");
  if (paths) {
    SHOAL_ASSIGN_OR_RETURN(role.paths, Strings(object, "paths"));
  } else {
    SHOAL_ASSIGN_OR_RETURN(role.path_hash_prefixes,
                           Strings(object, "path_hash_prefixes"));
  }
  return role;
}

absl::StatusOr<Delegations> ParseDelegations(const json& object) {
  Delegations delegations;
  SHOAL_ASSIGN_OR_RETURN(delegations.keys, ParseKeys(object));
  SHOAL_ASSIGN_OR_RETURN(const json* roles, Array(object, "roles"));
  std::set<std::string> names;
  for (const json& value : *roles) {
    SHOAL_ASSIGN_OR_RETURN(DelegatedRole role, ParseDelegatedRole(value));
    if (!names.insert(role.name).second)
      return Bad("a role is delegated twice");
    delegations.roles.push_back(std::move(role));
  }
  return delegations;
}

struct Envelope {
  SignedBytes bytes;
  json content;  // "signed"
};

absl::StatusOr<Envelope> ParseEnvelope(std::string_view text,
                                       uint64_t max_bytes,
                                       std::string_view type) {
  SHOAL_ASSIGN_OR_RETURN(json file, ParseStrictJson(text, max_bytes));
  Envelope envelope;
  SHOAL_ASSIGN_OR_RETURN(const json* signatures, Array(file, "signatures"));
  if (signatures->size() > kMaxSignatures) return Bad("too many signatures");
  for (const json& value : *signatures) {
    Signature signature;
    SHOAL_ASSIGN_OR_RETURN(signature.key_id, String(value, "keyid"));
    SHOAL_ASSIGN_OR_RETURN(const std::string hex, String(value, "sig"));
    // An empty one is what stock tools write for "not signed yet".
    auto bytes = HexDecode(hex);
    if (!bytes.ok()) return Bad("a signature is not hex");
    signature.bytes = *std::move(bytes);
    envelope.bytes.signatures.push_back(std::move(signature));
  }
  SHOAL_RETURN_IF_ERROR(Object(file, "signed"));
  envelope.content = std::move(file["signed"]);
  envelope.bytes.canonical_signed = Canonicalize(envelope.content);
  SHOAL_ASSIGN_OR_RETURN(envelope.bytes.type,
                         String(envelope.content, "_type"));
  if (envelope.bytes.type != type)
    return Bad(fmt::format("a file of type '{:.20}' where {} is expected",
                           envelope.bytes.type, type));
  SHOAL_ASSIGN_OR_RETURN(const std::string spec,
                         String(envelope.content, "spec_version"));
  if (spec != "1.0" && spec.rfind("1.0.", 0) != 0)
    return Bad(fmt::format("spec_version '{:.20}' is not 1.0.x", spec));
  return envelope;
}

absl::Status ParseCommon(const json& content, SignedCommon& common) {
  SHOAL_ASSIGN_OR_RETURN(common.version, Number(content, "version", 1));
  SHOAL_ASSIGN_OR_RETURN(common.expires, Expires(content));
  return absl::OkStatus();
}

}  // namespace

uint64_t MaxMetadataBytes(std::string_view role) {
  if (role == "root") return kMaxRootBytes;
  if (role == "timestamp") return kMaxTimestampBytes;
  if (role == "snapshot") return kMaxSnapshotBytes;
  return kMaxTargetsBytes;
}

std::string FormatExpires(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

absl::StatusOr<ParsedRoot> ParseRoot(std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(Envelope envelope,
                         ParseEnvelope(bytes, kMaxRootBytes, "root"));
  ParsedRoot parsed{std::move(envelope.bytes), {}};
  Root& root = parsed.value;
  const json& content = envelope.content;
  SHOAL_RETURN_IF_ERROR(ParseCommon(content, root));
  SHOAL_ASSIGN_OR_RETURN(
      const json* consistent,
      Member(content, "consistent_snapshot", json::value_t::boolean));
  root.consistent_snapshot = consistent->get<bool>();
  SHOAL_ASSIGN_OR_RETURN(root.keys, ParseKeys(content));
  SHOAL_ASSIGN_OR_RETURN(const json* roles, Object(content, "roles"));
  for (const char* name : {"root", "timestamp", "snapshot", "targets"}) {
    SHOAL_ASSIGN_OR_RETURN(const json* role, Object(*roles, name));
    SHOAL_ASSIGN_OR_RETURN(root.roles[name], ParseRoleKeys(*role));
  }
  return parsed;
}

absl::StatusOr<ParsedTimestamp> ParseTimestamp(std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(Envelope envelope,
                         ParseEnvelope(bytes, kMaxTimestampBytes, "timestamp"));
  ParsedTimestamp parsed{std::move(envelope.bytes), {}};
  SHOAL_RETURN_IF_ERROR(ParseCommon(envelope.content, parsed.value));
  SHOAL_ASSIGN_OR_RETURN(const json* meta, Object(envelope.content, "meta"));
  SHOAL_ASSIGN_OR_RETURN(const json* file, Object(*meta, "snapshot.json"));
  SHOAL_ASSIGN_OR_RETURN(parsed.value.snapshot, ParseMetaFile(*file));
  return parsed;
}

absl::StatusOr<ParsedSnapshot> ParseSnapshot(std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(Envelope envelope,
                         ParseEnvelope(bytes, kMaxSnapshotBytes, "snapshot"));
  ParsedSnapshot parsed{std::move(envelope.bytes), {}};
  SHOAL_RETURN_IF_ERROR(ParseCommon(envelope.content, parsed.value));
  SHOAL_ASSIGN_OR_RETURN(const json* meta, Object(envelope.content, "meta"));
  for (const auto& [name, value] : meta->items()) {
    const size_t end = name.rfind(".json");
    if (end == name.npos || end + 5 != name.size() ||
        !IsIdentifier(name.substr(0, end), 128) || !value.is_object())
      return Bad("'meta' has an unusable entry");
    SHOAL_ASSIGN_OR_RETURN(parsed.value.meta[name.substr(0, end)],
                           ParseMetaFile(value));
  }
  return parsed;
}

absl::StatusOr<ParsedTargets> ParseTargets(std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(Envelope envelope,
                         ParseEnvelope(bytes, kMaxTargetsBytes, "targets"));
  ParsedTargets parsed{std::move(envelope.bytes), {}};
  Targets& targets = parsed.value;
  const json& content = envelope.content;
  SHOAL_RETURN_IF_ERROR(ParseCommon(content, targets));
  SHOAL_ASSIGN_OR_RETURN(const json* files, Object(content, "targets"));
  for (const auto& [path, value] : files->items()) {
    TargetFile file;
    file.path = path;
    SHOAL_ASSIGN_OR_RETURN(file.length, Number(value, "length", 0));
    SHOAL_ASSIGN_OR_RETURN(std::optional<std::string> sha256,
                           ParseHashes(value, true));
    file.sha256 = *std::move(sha256);
    if (value.contains("custom")) {
      SHOAL_ASSIGN_OR_RETURN(const json* custom, Object(value, "custom"));
      file.custom = custom->dump();
    }
    targets.targets.emplace(path, std::move(file));
  }
  if (content.contains("delegations")) {
    SHOAL_ASSIGN_OR_RETURN(const json* object, Object(content, "delegations"));
    SHOAL_ASSIGN_OR_RETURN(targets.delegations, ParseDelegations(*object));
  }
  if (content.contains("shoal")) {
    SHOAL_ASSIGN_OR_RETURN(const json* object, Object(content, "shoal"));
    SHOAL_ASSIGN_OR_RETURN(targets.fleet_keys, ParseFleetKeys(*object));
  }
  return parsed;
}

}  // namespace shoal::signing
