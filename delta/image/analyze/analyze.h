// Finds the compressed blocks of images by their content alone (build side)
// and proves for each block of a new image, before it counts, that this
// machine's libraries compress it to the same bytes again. What cannot be
// reproduced, parsed or afforded stays raw: analysing never fails because of
// an image's content.
//
// Found: squashfs 4.0 (data, fragments, all metadata tables; gzip, xz, zstd,
// lz4), LZ4 legacy frames (kernels), gzip members, .xz streams and zstd frames
// of up to 1 MiB, and all of them inside one another, three deep.
//
// Memory: the map, and per thread a few blocks; images are read, not loaded.
#ifndef SHOAL_DELTA_IMAGE_ANALYZE_ANALYZE_H_
#define SHOAL_DELTA_IMAGE_ANALYZE_ANALYZE_H_

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "delta/image/expanded_reader.h"
#include "delta/image/image_map.h"

namespace shoal::delta {

struct AnalyzeOptions {
  int threads = 2;  // 1..64; `read` is called on all of them
  // Blocks whose compressing takes more memory on the device stay raw.
  uint64_t max_rebuild_memory = 12u << 20;  // bytes
  // Blocks of other codecs stay raw; null: all may be used.
  std::function<bool(ImageCodec codec)> may_use;
  // The expanded image may be this many times as long as the image (no zip
  // bombs, and a bound for what a device has to expand).
  uint32_t max_expansion = 64;
  // False for old images: blocks need only expand, not compress again.
  bool verify_exact = true;
  const std::atomic<bool>* cancel = nullptr;  // optional
  // Optional; bytes of the outermost image done, of all; any thread, one at a
  // time.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

// `read` must be thread-safe and the image must not change meanwhile. Errors:
// those of `read`, "cancelled".
absl::StatusOr<ImageMap> Analyze(const ReadAt& read, uint64_t size,
                                 const AnalyzeOptions& options);

struct ImagePair {
  ImageMap old_map;
  ImageMap new_map;  // with verbatim segments
};

// Both images of a delta: the old one's blocks need only expand; blocks of the
// new one that the old one holds byte for byte become verbatim segments. Both
// maps have equally many layers.
absl::StatusOr<ImagePair> AnalyzePair(const ReadAt& read_old, uint64_t old_size,
                                      const ReadAt& read_new, uint64_t new_size,
                                      const AnalyzeOptions& options);

// The expanded image of a map that may have verbatim segments (build side;
// ExpandedReader refuses those): appends to `write` in order, a MiB at a time.
// `cancel` may be null.
absl::Status WriteExpanded(
    const ImageMap& map, const ReadAt& read_image,
    const std::function<absl::Status(std::string_view)>& write,
    const std::atomic<bool>* cancel = nullptr);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_ANALYZE_ANALYZE_H_
