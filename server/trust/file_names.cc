#include "server/trust/file_names.h"

#include <algorithm>
#include <charconv>

#include "common/bytes.h"
#include "common/status.h"
#include "fmt/format.h"

namespace shoal::server {

std::string MetadataFileName(std::string_view role, uint64_t version) {
  return fmt::format("{}.{}.json", version, role);
}

absl::StatusOr<MetadataName> ParseMetadataFileName(std::string_view name) {
  const auto bad = [&] {
    return InvalidArgument("bad_metadata_name",
                           fmt::format("'{}' is not VERSION.ROLE.json", name));
  };
  constexpr std::string_view kSuffix = ".json";
  if (name.size() > 128 || name.size() <= kSuffix.size() ||
      name.substr(name.size() - kSuffix.size()) != kSuffix) {
    return bad();
  }
  MetadataName parsed;
  const char* end = name.data() + name.size() - kSuffix.size();
  const auto [rest, error] = std::from_chars(name.data(), end, parsed.version);
  if (error != std::errc() || rest == end || *rest != '.' ||
      parsed.version == 0 || name.front() == '0') {
    return bad();
  }
  parsed.role.assign(rest + 1, end);
  if (!IsIdentifier(parsed.role)) return bad();
  return parsed;
}

uint64_t NewestVersion(const std::map<std::string, std::string>& files,
                       std::string_view role) {
  uint64_t newest = 0;
  for (const auto& [name, bytes] : files) {
    const auto parsed = ParseMetadataFileName(name);
    if (parsed.ok() && parsed->role == role) {
      newest = std::max(newest, parsed->version);
    }
  }
  return newest;
}

bool IsOnlineRole(std::string_view role) {
  return role == "snapshot" || role == "timestamp" || role == "director" ||
         role.rfind("director-", 0) == 0;
}

}  // namespace shoal::server
