// What is known of one image.
#ifndef SHOAL_AGENT_STATE_IMAGE_INFO_H_
#define SHOAL_AGENT_STATE_IMAGE_INFO_H_

#include <cstdint>
#include <string>

namespace shoal::agent {

struct ImageInfo {
  std::string version;
  std::string sha256;  // 32 bytes; empty: no image
  uint64_t length = 0;
  uint64_t counter = 0;      // orders images; 0: unknown
  uint64_t min_counter = 0;  // the floor once this image is committed
  bool operator==(const ImageInfo&) const = default;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_STATE_IMAGE_INFO_H_
