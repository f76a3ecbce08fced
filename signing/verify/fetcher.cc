#include "signing/verify/fetcher.h"

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/status.h"

namespace shoal::signing {

absl::StatusOr<std::string> TargetFilePath(const TargetFile& target) {
  std::string directory;
  std::string_view rest = target.path;
  for (;;) {
    const size_t slash = rest.find('/');
    const std::string_view segment = rest.substr(0, slash);
    if (!IsIdentifier(segment, 128))
      return InvalidArgument(
          "bad_target_path",
          fmt::format("'{:.80}' is not made of identifiers", target.path));
    if (slash == rest.npos)
      return fmt::format("targets/{}{}.{}", directory, HexEncode(target.sha256),
                         segment);
    directory.append(segment).push_back('/');
    rest.remove_prefix(slash + 1);
  }
}

std::string MetadataFileName(std::string_view role,
                             std::optional<uint64_t> version) {
  return version ? fmt::format("{}.{}.json", *version, role)
                 : fmt::format("{}.json", role);
}

DirectoryFetcher::DirectoryFetcher(FileSystem& fs, std::string repository)
    : fs_(fs), repository_(std::move(repository)) {}

absl::StatusOr<std::string> DirectoryFetcher::FetchMetadata(
    std::string_view role, std::optional<uint64_t> version,
    uint64_t max_bytes) {
  if (!IsIdentifier(role, 128))
    return InvalidArgument("bad_name", "a role's name is an identifier");
  const std::string path = JoinPath(JoinPath(repository_, "metadata"),
                                    MetadataFileName(role, version));
  if (!fs_.Exists(path))
    return NotFound("metadata_missing", path + " does not exist");
  return fs_.Read(path, max_bytes);
}

absl::StatusOr<std::string> DirectoryFetcher::FetchTarget(
    const TargetFile& target) {
  SHOAL_ASSIGN_OR_RETURN(const std::string name, TargetFilePath(target));
  return fs_.Read(JoinPath(repository_, name), target.length);
}

}  // namespace shoal::signing
