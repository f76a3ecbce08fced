#include "server/cli/repo_reader.h"

#include <fmt/format.h>

#include <charconv>

#include "common/bytes.h"
#include "common/status.h"
#include "signing/metadata/image_info.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::cli {
namespace {

std::string MetadataPath(const std::string& repository,
                         const std::string& file) {
  return JoinPath(JoinPath(repository, "metadata"), file);
}

absl::StatusOr<std::string> TargetPath(const std::string& repository,
                                       const signing::TargetFile& target) {
  SHOAL_ASSIGN_OR_RETURN(const std::string relative,
                         signing::TargetFilePath(target));
  return JoinPath(repository, relative);
}

}  // namespace

bool IsOfflineRole(std::string_view role) {
  return role == "root" || role == "targets" || role == "policy" ||
         role.starts_with("fw-");
}

absl::StatusOr<MetadataFiles> ListMetadata(FileSystem& fs,
                                           const std::string& repository) {
  const auto names = fs.List(JoinPath(repository, "metadata"));
  if (!names.ok()) {
    return Annotate(names.status(),
                    repository + " is no repository of shoal-sign");
  }
  MetadataFiles files;
  for (const auto& name : *names) {
    constexpr std::string_view kTail = ".json";
    const size_t dot = name.find('.');
    if (dot == name.npos || !name.ends_with(kTail)) continue;
    if (dot + 1 + kTail.size() >= name.size()) continue;
    uint64_t version = 0;
    const char* end = name.data() + dot;
    const auto parsed = std::from_chars(name.data(), end, version);
    if (parsed.ec != std::errc() || parsed.ptr != end || version == 0) continue;
    const std::string role =
        name.substr(dot + 1, name.size() - dot - 1 - kTail.size());
    if (IsIdentifier(role)) files[role][version] = name;
  }
  if (files.empty()) {
    return NotFound("no_metadata",
                    repository + "/metadata holds no metadata files");
  }
  return files;
}

absl::StatusOr<trust::v1::PublishRequest> NewOfflineMetadata(
    FileSystem& fs, const std::string& repository,
    const std::map<std::string, uint64_t>& in_force) {
  SHOAL_ASSIGN_OR_RETURN(const MetadataFiles files,
                         ListMetadata(fs, repository));
  trust::v1::PublishRequest request;
  for (const auto& [role, versions] : files) {
    if (!IsOfflineRole(role)) continue;
    const auto held = in_force.find(role);
    const uint64_t have = held == in_force.end() ? 0 : held->second;
    for (auto it = versions.upper_bound(have); it != versions.end(); ++it) {
      // A root is signed by its predecessor: each one counts.
      if (role != "root" && std::next(it) != versions.end()) continue;
      SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                             fs.Read(MetadataPath(repository, it->second),
                                     signing::MaxMetadataBytes(role)));
      (*request.mutable_metadata())[it->second] = bytes;
      if (role != "policy") continue;
      SHOAL_ASSIGN_OR_RETURN(const auto parsed, signing::ParseTargets(bytes));
      for (const auto& [path, target] : parsed.value.targets) {
        SHOAL_ASSIGN_OR_RETURN(const std::string file,
                               TargetPath(repository, target));
        SHOAL_ASSIGN_OR_RETURN((*request.mutable_documents())[path],
                               fs.Read(file, signing::kMaxPolicyBytes));
      }
    }
  }
  return request;
}

absl::StatusOr<ReleaseImage> FindRelease(FileSystem& fs,
                                         const std::string& repository,
                                         const std::string& device_type,
                                         const std::string& version) {
  SHOAL_ASSIGN_OR_RETURN(const MetadataFiles files,
                         ListMetadata(fs, repository));
  const std::string role = "fw-" + device_type;
  const auto found = files.find(role);
  if (found == files.end()) {
    return NotFound("unknown_release",
                    fmt::format("{}/metadata holds nothing that the role {} "
                                "signed; sign the release with shoal-sign "
                                "first",
                                repository, role));
  }
  ReleaseImage image;
  image.metadata_name = found->second.rbegin()->second;
  SHOAL_ASSIGN_OR_RETURN(image.metadata,
                         fs.Read(MetadataPath(repository, image.metadata_name),
                                 signing::MaxMetadataBytes(role)));
  SHOAL_ASSIGN_OR_RETURN(const auto parsed,
                         signing::ParseTargets(image.metadata));
  const auto target = parsed.value.targets.find(
      signing::ImagePath(device_type, version, "image"));
  if (target == parsed.value.targets.end()) {
    return NotFound(
        "unknown_release",
        fmt::format("{} names no version {} of {}; sign it with shoal-sign "
                    "first",
                    image.metadata_name, version, device_type));
  }
  image.target = target->second;
  const std::string prefix = signing::ImagePath(device_type, version, "");
  for (const auto& [path, named] : parsed.value.targets) {
    if (!path.starts_with(prefix) || path == image.target.path) continue;
    ReleaseImage::File file{path.substr(prefix.size()), named, "",
                            signing::IsAttachment(named)};
    SHOAL_ASSIGN_OR_RETURN(file.path, TargetPath(repository, named));
    image.beside.push_back(std::move(file));
  }
  SHOAL_ASSIGN_OR_RETURN(image.path, TargetPath(repository, image.target));
  if (!fs.Exists(image.path)) {
    return NotFound(
        "image_missing",
        fmt::format("the image is not in the repository: {}", image.path));
  }
  SHOAL_ASSIGN_OR_RETURN(const uint64_t size, fs.Size(image.path));
  if (size != image.target.length) {
    return DataLoss("length_mismatch",
                    fmt::format("{} has {} bytes, {} says {}", image.path, size,
                                image.metadata_name, image.target.length));
  }
  return image;
}

}  // namespace shoal::cli
