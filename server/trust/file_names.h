// Names of TUF metadata files with consistent snapshots: "N.ROLE.json".
#ifndef SHOAL_SERVER_TRUST_FILE_NAMES_H_
#define SHOAL_SERVER_TRUST_FILE_NAMES_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace shoal::server {

struct MetadataName {
  std::string role;
  uint64_t version = 0;
};

std::string MetadataFileName(std::string_view role, uint64_t version);

// kInvalidArgument "bad_metadata_name" for anything else, timestamp.json
// (which has no version) included.
absl::StatusOr<MetadataName> ParseMetadataFileName(std::string_view name);

// The highest version of `role` among the file names; 0: none.
uint64_t NewestVersion(const std::map<std::string, std::string>& files,
                       std::string_view role);

// director, director-…, snapshot, timestamp.
bool IsOnlineRole(std::string_view role);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_TRUST_FILE_NAMES_H_
