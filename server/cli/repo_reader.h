// Reads the repository directory that shoal-sign keeps:
//   REPO/metadata/N.ROLE.json · REPO/targets/DIRECTORY/HEXSHA256.NAME
// Nothing is verified here: the management plane does that as a device would.
#ifndef SHOAL_SERVER_CLI_REPO_READER_H_
#define SHOAL_SERVER_CLI_REPO_READER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/files.h"
#include "shoal/trust/v1/trust_service.pb.h"
#include "signing/metadata/metadata.h"

namespace shoal::cli {

// role → version → file name, of all files named N.ROLE.json.
using MetadataFiles = std::map<std::string, std::map<uint64_t, std::string>>;
absl::StatusOr<MetadataFiles> ListMetadata(FileSystem& fs,
                                           const std::string& repository);

// Roles that offline keys sign: root, targets, policy, fw-….
bool IsOfflineRole(std::string_view role);

// What is newer than `in_force` (role → version): every root in between, of
// other roles the newest; with the policy also its document.
absl::StatusOr<trust::v1::PublishRequest> NewOfflineMetadata(
    FileSystem& fs, const std::string& repository,
    const std::map<std::string, uint64_t>& in_force);

// The image of a release, as the newest fw-TYPE file names it.
struct ReleaseImage {
  std::string metadata;  // the file's bytes
  std::string metadata_name;
  signing::TargetFile target;
  std::string path;  // of the image's bytes
  // Further artifacts and attachments of the version.
  struct File {
    std::string name;
    signing::TargetFile target;
    std::string path;  // where its bytes should be
    bool attachment = false;
  };
  std::vector<File> beside;
};
// kNotFound "unknown_release" when the metadata names no such version,
// "image_missing" when its bytes are not in the repository.
absl::StatusOr<ReleaseImage> FindRelease(FileSystem& fs,
                                         const std::string& repository,
                                         const std::string& device_type,
                                         const std::string& version);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_REPO_READER_H_
