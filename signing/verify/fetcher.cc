#include "signing/verify/fetcher.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/status.h"

namespace shoal::signing {
namespace {

bool UsableSegment(std::string_view segment) {
  return !segment.empty() && segment != "." && segment != ".." &&
         std::none_of(segment.begin(), segment.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

}  // namespace

absl::StatusOr<std::string> TargetFilePath(const TargetFile& target) {
  std::string directory;
  std::string_view rest = target.path;
  for (;;) {
    const size_t slash = rest.find('/');
    const std::string_view segment = rest.substr(0, slash);
    if (!UsableSegment(segment))
      return InvalidArgument(
          "bad_target_path",
          fmt::format("'{:.80}' is no path inside a tree", target.path));
    if (slash == rest.npos)
      return fmt::format(
          "targets/{}{}.{}", directory,
          HexEncode(target.sha256.empty() ? target.sha512 : target.sha256),
          segment);
    directory.append(segment).push_back('/');
    rest.remove_prefix(slash + 1);
  }
}

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~')
      out.push_back(c);
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string MetadataFileName(std::string_view role,
                             std::optional<uint64_t> version) {
  const std::string name = PercentEncode(role);
  return version ? fmt::format("{}.{}.json", *version, name)
                 : fmt::format("{}.json", name);
}

absl::StatusOr<std::string> Fetcher::FetchLog(const std::string& name, size_t,
                                              uint64_t) {
  return NotFound("no_more_sources", "no source of the log has " + name);
}

absl::StatusOr<std::string> DirectoryFetcher::FetchLog(const std::string& name,
                                                       size_t source,
                                                       uint64_t max_bytes) {
  const std::string path = JoinPath(JoinPath(repository_, "log"), name);
  if (source > 0 || !fs_.Exists(path))
    return NotFound("no_more_sources", path + " does not exist");
  return fs_.Read(path, max_bytes);
}

DirectoryFetcher::DirectoryFetcher(FileSystem& fs, std::string repository)
    : fs_(fs), repository_(std::move(repository)) {}

absl::StatusOr<std::string> DirectoryFetcher::FetchMetadata(
    std::string_view role, std::optional<uint64_t> version,
    uint64_t max_bytes) {
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
