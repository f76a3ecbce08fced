// What the four metadata types have in common, from JSON to values; for this
// folder only. Errors: kInvalidArgument "bad_metadata".
#ifndef SHOAL_SIGNING_METADATA_PARSE_PARTS_H_
#define SHOAL_SIGNING_METADATA_PARSE_PARTS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "signing/metadata/json.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing::parse {

absl::Status Bad(std::string_view what);

// Members of an object, by type; the pointers live as long as `object`.
absl::StatusOr<const nlohmann::json*> Member(const nlohmann::json& object,
                                             const char* key,
                                             nlohmann::json::value_t type);
absl::StatusOr<const nlohmann::json*> Object(const nlohmann::json& object,
                                             const char* key);
absl::StatusOr<const nlohmann::json*> Array(const nlohmann::json& object,
                                            const char* key);
absl::StatusOr<std::string> String(const nlohmann::json& object,
                                   const char* key);
absl::StatusOr<uint64_t> Number(const nlohmann::json& object, const char* key,
                                uint64_t min);
// Raw bytes of exactly this many.
absl::StatusOr<std::string> Hex(const nlohmann::json& value, size_t bytes,
                                std::string_view what);

absl::StatusOr<std::map<std::string, Key>> Keys(const nlohmann::json& object);
absl::StatusOr<RoleKeys> Role(const nlohmann::json& object);
absl::StatusOr<MetaFile> File(const nlohmann::json& object, Dialect dialect);
absl::StatusOr<TargetFile> Target(std::string path,
                                  const nlohmann::json& object,
                                  Dialect dialect);
absl::StatusOr<Delegations> AllDelegations(const nlohmann::json& object,
                                           Dialect dialect);
// Whether a role other than the four may be called so (T34): its name becomes
// part of a file's name.
bool UsableRoleName(std::string_view name, Dialect dialect);

}  // namespace shoal::signing::parse

#endif  // SHOAL_SIGNING_METADATA_PARSE_PARTS_H_
