// Positioned reads of an expanded image (see image_map.h) whose blocks are
// expanded on demand, in bounded memory: recently used blocks are kept whole
// up to a byte budget; long blocks (gzip members, the 8 MiB blocks of an LZ4
// kernel) are decoded in passing, with copies of the decoder's state to go
// back to.
//
// One thread at a time. Errors of the image's reads come through; a block
// that does not expand to its declared length: "image_block".
#ifndef SHOAL_DELTA_IMAGE_EXPANDED_READER_H_
#define SHOAL_DELTA_IMAGE_EXPANDED_READER_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "delta/image/block_stream.h"
#include "delta/image/image_map.h"

namespace shoal::delta {

// Bytes that an ExpandedReader takes at most with `cache` bytes per layer of
// cache; the map itself not included. 0 without layers.
uint64_t ExpandedReaderMemory(const ImageMap& map, uint64_t cache);

class ExpandedReader {
 public:
  // Default of `cache`: four squashfs blocks of the usual size.
  static constexpr uint64_t kDefaultCache = 512u << 10;

  // `map` must outlive the reader; `read_image` reads the image that the map
  // describes.
  static absl::StatusOr<std::unique_ptr<ExpandedReader>> Create(
      const ImageMap& map, ReadAt read_image, uint64_t cache = kDefaultCache);
  ~ExpandedReader();

  uint64_t size() const;  // == map.ExpandedSize()

  // Beyond size(): "image_read".
  absl::Status Read(uint64_t offset, char* buffer, size_t size);

  // The same from the outer image of `layer` (0: the image itself), which
  // verbatim segments of the new image point into.
  absl::Status ReadOuter(size_t layer, uint64_t offset, char* buffer,
                         size_t size);

 private:
  class Impl;
  explicit ExpandedReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_EXPANDED_READER_H_
