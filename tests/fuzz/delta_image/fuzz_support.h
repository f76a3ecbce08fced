// What the image fuzzers share.
#ifndef SHOAL_TESTS_FUZZ_DELTA_IMAGE_FUZZ_SUPPORT_H_
#define SHOAL_TESTS_FUZZ_DELTA_IMAGE_FUZZ_SUPPORT_H_

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "common/status.h"
#include "delta/image/block_stream.h"

namespace shoal::delta {

inline void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "broken: %s\n", what);
  abort();
}

// OK or one of the reasons that the headers name.
inline void RequireKnown(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  for (const char* known : {"ok", "image_block", "image_map", "image_memory",
                            "image_write", "codec_differs"})
    if (reason == known) return;
  fprintf(stderr, "unknown reason %s\n", reason.c_str());
  abort();
}

inline ReadAt ReadsFrom(std::string_view bytes) {
  return [bytes](uint64_t offset, char* buffer, size_t size) -> absl::Status {
    Require(offset <= bytes.size() && size <= bytes.size() - offset,
            "read beyond the image");
    memcpy(buffer, bytes.data() + offset, size);
    return absl::OkStatus();
  };
}

}  // namespace shoal::delta

#endif  // SHOAL_TESTS_FUZZ_DELTA_IMAGE_FUZZ_SUPPORT_H_
