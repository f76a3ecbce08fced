#include "signing/metadata/parse_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::signing::parse {
namespace {

using nlohmann::json;

constexpr uint32_t kMaxThreshold = 1024;
constexpr size_t kMaxRoleName = 128;
constexpr uint64_t kMaxBinBits = 32;

absl::StatusOr<Key> OneKey(const json& object) {
  Key key;
  // The id covers the whole object, unknown fields included, and is computed
  // here: what the file calls the key counts for nothing (T11).
  key.id = HexEncode(crypto::Sha256Digest(Canonicalize(object)));
  SHOAL_ASSIGN_OR_RETURN(key.type, String(object, "keytype"));
  SHOAL_ASSIGN_OR_RETURN(key.scheme, String(object, "scheme"));
  SHOAL_ASSIGN_OR_RETURN(const json* value, Object(object, "keyval"));
  // Other types need not have it, and a bad one verifies nothing: neither is a
  // reason to refuse the keys beside it.
  const auto text = value->find("public");
  if (text == value->end() || !text->is_string()) return key;
  key.public_key = text->get<std::string>();
  if (key.type != "ed25519" || key.scheme != "ed25519") return key;
  auto raw = Hex(*text, 32, "an ed25519 public key");
  if (!raw.ok()) return key;
  key.public_key = *std::move(raw);
  key.supported = true;
  return key;
}

struct Digests {
  bool given = false;
  std::optional<std::string> sha256;
  std::optional<std::string> sha512;
};

// Algorithms of other names are tolerated beside the two.
absl::StatusOr<Digests> Hashes(const json& object, Dialect dialect) {
  Digests digests;
  if (!object.contains("hashes")) return digests;
  SHOAL_ASSIGN_OR_RETURN(const json* hashes, Object(object, "hashes"));
  digests.given = true;
  if (const auto it = hashes->find("sha256"); it != hashes->end()) {
    SHOAL_ASSIGN_OR_RETURN(digests.sha256, Hex(*it, 32, "a sha256"));
  }
  if (const auto it = hashes->find("sha512"); it != hashes->end()) {
    SHOAL_ASSIGN_OR_RETURN(digests.sha512, Hex(*it, 64, "a sha512"));
  }
  if (dialect == Dialect::kFleet && !digests.sha256)
    return Bad("'hashes' lacks sha256");
  return digests;
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

absl::StatusOr<DelegatedRole> Delegated(const json& object, Dialect dialect) {
  DelegatedRole role;
  SHOAL_ASSIGN_OR_RETURN(role.name, String(object, "name"));
  if (!UsableRoleName(role.name, dialect))
    return Bad("a delegated role has an unusable name");
  SHOAL_ASSIGN_OR_RETURN(role.keys, Role(object));
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

absl::StatusOr<SuccinctRoles> Succinct(const json& object, Dialect dialect) {
  SuccinctRoles roles;
  SHOAL_ASSIGN_OR_RETURN(roles.keys, Role(object));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t bits, Number(object, "bit_length", 1));
  if (bits > kMaxBinBits) return Bad("'bit_length' is beyond 32");
  roles.bit_length = static_cast<uint32_t>(bits);
  SHOAL_ASSIGN_OR_RETURN(roles.name_prefix, String(object, "name_prefix"));
  if (!UsableRoleName(roles.name_prefix + "-00000000", dialect))
    return Bad("'name_prefix' is unusable");
  return roles;
}

}  // namespace

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

// A key whose stated id is not its own is left out rather than renamed, so
// that no role can name it under either.
absl::StatusOr<std::map<std::string, Key>> Keys(const json& object) {
  SHOAL_ASSIGN_OR_RETURN(const json* keys, Object(object, "keys"));
  if (keys->size() > kMaxKeys) return Bad("too many keys");
  std::map<std::string, Key> result;
  for (const auto& [id, value] : keys->items()) {
    SHOAL_ASSIGN_OR_RETURN(Key key, OneKey(value));
    if (key.id == id) result.emplace(id, std::move(key));
  }
  return result;
}

absl::StatusOr<RoleKeys> Role(const json& object) {
  RoleKeys role;
  SHOAL_ASSIGN_OR_RETURN(const uint64_t threshold,
                         Number(object, "threshold", 1));
  if (threshold > kMaxThreshold) return Bad("'threshold' is absurd");
  role.threshold = static_cast<uint32_t>(threshold);
  SHOAL_ASSIGN_OR_RETURN(const json* ids, Array(object, "keyids"));
  if (ids->size() > kMaxKeysOfRole) return Bad("a role has too many keys");
  std::set<std::string> seen;
  for (const json& id : *ids) {
    if (!id.is_string()) return Bad("a key id is not a string");
    if (!seen.insert(id.get<std::string>()).second)
      return Bad("a role names a key id twice");
    role.key_ids.push_back(id.get<std::string>());
  }
  return role;
}

absl::StatusOr<MetaFile> File(const json& object, Dialect dialect) {
  MetaFile file;
  SHOAL_ASSIGN_OR_RETURN(file.version, Number(object, "version", 1));
  if (object.contains("length")) {
    SHOAL_ASSIGN_OR_RETURN(file.length, Number(object, "length", 1));
  }
  SHOAL_ASSIGN_OR_RETURN(Digests digests, Hashes(object, dialect));
  file.unknown_hashes = digests.given && !digests.sha256 && !digests.sha512;
  file.sha256 = std::move(digests.sha256);
  file.sha512 = std::move(digests.sha512);
  return file;
}

absl::StatusOr<TargetFile> Target(std::string path, const json& object,
                                  Dialect dialect) {
  TargetFile file;
  file.path = std::move(path);
  SHOAL_ASSIGN_OR_RETURN(file.length, Number(object, "length", 0));
  SHOAL_ASSIGN_OR_RETURN(Digests digests, Hashes(object, dialect));
  if (!digests.given) return Bad("a target without 'hashes'");
  file.sha256 = std::move(digests.sha256).value_or("");
  file.sha512 = std::move(digests.sha512).value_or("");
  if (object.contains("custom")) {
    SHOAL_ASSIGN_OR_RETURN(const json* custom, Object(object, "custom"));
    file.custom = custom->dump();
  }
  return file;
}

absl::StatusOr<Delegations> AllDelegations(const json& object,
                                           Dialect dialect) {
  Delegations delegations;
  SHOAL_ASSIGN_OR_RETURN(delegations.keys, Keys(object));
  if (object.contains("succinct_roles")) {
    if (object.contains("roles"))
      return Bad("delegations have either roles or succinct_roles");
    SHOAL_ASSIGN_OR_RETURN(const json* succinct,
                           Object(object, "succinct_roles"));
    SHOAL_ASSIGN_OR_RETURN(delegations.succinct, Succinct(*succinct, dialect));
    return delegations;
  }
  SHOAL_ASSIGN_OR_RETURN(const json* roles, Array(object, "roles"));
  if (roles->size() > kMaxDelegatedRoles) return Bad("too many delegations");
  std::set<std::string> names;
  for (const json& value : *roles) {
    SHOAL_ASSIGN_OR_RETURN(DelegatedRole role, Delegated(value, dialect));
    if (!names.insert(role.name).second)
      return Bad("a role is delegated twice");
    delegations.roles.push_back(std::move(role));
  }
  return delegations;
}

bool UsableRoleName(std::string_view name, Dialect dialect) {
  // It must not shadow a top-level role in the store.
  if (name == "root" || name == "timestamp" || name == "snapshot" ||
      name == "targets")
    return false;
  if (dialect == Dialect::kFleet) return IsIdentifier(name, kMaxRoleName);
  return !name.empty() && name.size() <= kMaxRoleName &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
         });
}

}  // namespace shoal::signing::parse
