// The image under analysis, read with bounds.
#ifndef SHOAL_DELTA_IMAGE_ANALYZE_SOURCE_H_
#define SHOAL_DELTA_IMAGE_ANALYZE_SOURCE_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/status.h"
#include "delta/image/block_stream.h"

namespace shoal::delta {

// Reason of a read beyond the image and of every structure that makes no
// sense: the caller leaves those bytes raw. Other errors are the image's.
inline constexpr std::string_view kNotThere = "not_there";
inline absl::Status NotThere() {
  return NotFound(kNotThere, "no such structure here");
}
inline bool IsNotThere(const absl::Status& status) {
  return absl::IsNotFound(status) && ReasonOf(status) == kNotThere;
}

// As thread-safe as `read`.
struct Source {
  const ReadAt& read;
  uint64_t size;

  absl::StatusOr<std::string> Bytes(uint64_t offset, uint64_t length) const {
    if (offset > size || length > size - offset) return NotThere();
    std::string bytes(length, '\0');
    SHOAL_RETURN_IF_ERROR(read(offset, bytes.data(), length));
    return bytes;
  }
  // As many as there are, up to `length`.
  absl::StatusOr<std::string> UpTo(uint64_t offset, uint64_t length) const {
    if (offset > size) return NotThere();
    return Bytes(offset, std::min(length, size - offset));
  }
};

// Least significant byte first; `bytes` must hold `width` from `at`.
inline uint64_t LittleEndian(std::string_view bytes, size_t at, int width) {
  uint64_t value = 0;
  for (int i = width; i-- > 0;)
    value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_ANALYZE_SOURCE_H_
