// What an fw-<device-type> role says about an image beyond length and digest:
// the "custom" object of its target,
//   {"shoal":{"artifact":"image","counter":7,"device_type":"gateway",
//    "file_root":HEX32,"min_counter":3,"piece_length":16384,"version":"1.4.0"}}
#ifndef SHOAL_SIGNING_METADATA_IMAGE_INFO_H_
#define SHOAL_SIGNING_METADATA_IMAGE_INFO_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {

struct ImageInfo {
  std::string device_type;    // identifier
  std::string version;        // identifier, "1.4.0": for people
  std::string artifact;       // identifier, "image"
  uint64_t counter = 0;       // orders the images of a device type
  uint64_t min_counter = 0;   // ≤ counter: the floor once committed (T24)
  std::string file_root;      // 32 bytes, BEP 52 (file_root.h)
  uint64_t piece_length = 0;  // power of two ≥ 16384
};

// "fw/<type>/<version>/<artifact>"
std::string ImagePath(std::string_view device_type, std::string_view version,
                      std::string_view artifact);

// kInvalidArgument "bad_image_info": a field is missing or wrong, or does not
// agree with the target's path (T23).
absl::StatusOr<ImageInfo> ParseImageInfo(const TargetFile& target);
std::string FormatImageInfo(const ImageInfo& info);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_METADATA_IMAGE_INFO_H_
