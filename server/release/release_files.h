// What files a release consists of.
#ifndef SHOAL_SERVER_RELEASE_RELEASE_FILES_H_
#define SHOAL_SERVER_RELEASE_RELEASE_FILES_H_

#include <cstdint>
#include <map>
#include <string>

#include "shoal/release/v1/release_service.pb.h"

namespace shoal::server {

// SHA-256 in hex → length: image, other artifacts, attachments.
inline std::map<std::string, uint64_t> FilesOf(
    const release::v1::Release& release) {
  std::map<std::string, uint64_t> files = {
      {release.sha256(), release.length()}};
  for (const auto& artifact : release.artifacts())
    files.emplace(artifact.sha256(), artifact.length());
  for (const auto& attachment : release.attachments())
    files.emplace(attachment.sha256(), attachment.length());
  return files;
}

}  // namespace shoal::server

#endif  // SHOAL_SERVER_RELEASE_RELEASE_FILES_H_
