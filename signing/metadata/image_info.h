// What an fw-<device-type> role says about an image beyond length and digest:
// the "custom" object of its target,
//   {"shoal":{"artifact":"image","counter":7,"device_type":"gateway",
//    "file_root":HEX32,"min_counter":3,"piece_length":16384,"version":"1.4.0"}}
// and, where there are any, "hardware":["rev-b"] that it fits, and "requires":
// [{"artifact":"modem","min_counter":7}]: what must be on the device beside it.
// A file about a release that no device installs (SBOM, provenance) says
// "attachment" in place of artifact and counters:
//   {"shoal":{"attachment":"sbom","device_type":"gateway","file_root":HEX32,
//    "media_type":"application/spdx+json","piece_length":16384,
//    "version":"1.4.0"}}
#ifndef SHOAL_SIGNING_METADATA_IMAGE_INFO_H_
#define SHOAL_SIGNING_METADATA_IMAGE_INFO_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {

// At most 16 MiB each, 8 a release.
inline constexpr uint64_t kMaxAttachmentBytes = 16u << 20;
inline constexpr int kMaxAttachments = 8;

struct ImageNeed {
  std::string artifact;  // identifier: another component of the device
  uint64_t min_counter = 0;
  bool operator==(const ImageNeed&) const = default;
};

struct ImageInfo {
  std::string device_type;    // identifier
  std::string version;        // identifier, "1.4.0": for people
  std::string artifact;       // identifier, "image"
  uint64_t counter = 0;       // orders the images of a device type
  uint64_t min_counter = 0;   // ≤ counter: the floor once committed (T24)
  std::string file_root;      // 32 bytes, BEP 52 (file_root.h)
  uint64_t piece_length = 0;  // power of two ≥ 16384
  std::vector<std::string> hardware = {};  // identifiers, at most 32; none: any
  std::vector<ImageNeed> needs = {};       // at most 16
};

struct AttachmentInfo {
  std::string device_type;
  std::string version;
  std::string name;        // identifier, "sbom": last part of the path
  std::string media_type;  // printable, at most 128 bytes; may be empty
  std::string file_root;
  uint64_t piece_length = 0;
};

// "fw/<type>/<version>/<artifact>"
std::string ImagePath(std::string_view device_type, std::string_view version,
                      std::string_view artifact);

// kInvalidArgument "bad_image_info": a field is missing or wrong, or does not
// agree with the target's path (T23).
absl::StatusOr<ImageInfo> ParseImageInfo(const TargetFile& target);
std::string FormatImageInfo(const ImageInfo& info);

// What images and attachments have alike.
struct BulkInfo {
  std::string file_root;
  uint64_t piece_length = 0;
};
absl::StatusOr<BulkInfo> ParseBulkInfo(const TargetFile& target);

// Does the target say that it is one? Nothing else of it is checked.
bool IsAttachment(const TargetFile& target);
// kInvalidArgument "bad_image_info", also for one that is too long.
absl::StatusOr<AttachmentInfo> ParseAttachmentInfo(const TargetFile& target);
std::string FormatAttachmentInfo(const AttachmentInfo& info);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_METADATA_IMAGE_INFO_H_
