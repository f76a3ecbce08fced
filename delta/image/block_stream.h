// Expands a long block in passing: bytes come out in order, in bounded memory,
// and a copy of the decoder's state (a checkpoint) can be taken at any place
// to go back to it later. For deflate and LZ4; the block's bytes are read
// forward through a small buffer, so nothing is held as a whole.
#ifndef SHOAL_DELTA_IMAGE_BLOCK_STREAM_H_
#define SHOAL_DELTA_IMAGE_BLOCK_STREAM_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "delta/image/codec.h"

namespace shoal::delta {

// Exactly `size` bytes of the image at `offset`.
using ReadAt =
    std::function<absl::Status(uint64_t offset, char* buffer, size_t size)>;

// A decoder takes this much at most, a checkpoint included.
inline constexpr uint64_t kBlockStreamMemory = 74u << 10;

class BlockStream {
 public:
  // Of the block of `stored_length` bytes at `offset`, which expands to
  // `raw_length`. `read` must outlive the stream and its copies.
  static absl::StatusOr<std::unique_ptr<BlockStream>> Open(
      const CodecSetting& setting, const ReadAt& read, uint64_t offset,
      uint64_t stored_length, uint64_t raw_length);
  virtual ~BlockStream() = default;

  // The next `size` bytes; null `out` skips them. Beyond the block's length,
  // or a damaged block: "image_block".
  virtual absl::Status Read(char* out, size_t size) = 0;

  // Steps back to `place` when the bytes since then are still there; false when
  // they are not.
  virtual bool StepBack(uint64_t place) {
    (void)place;
    return false;
  }

  // OK when all raw bytes were read, all stored bytes are used up and the
  // block ends there.
  virtual absl::Status CheckEnd() = 0;

  // An independent stream at the same place.
  virtual absl::StatusOr<std::unique_ptr<BlockStream>> Clone() const = 0;

  uint64_t place() const { return place_; }  // raw bytes read so far

 protected:
  uint64_t place_ = 0;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_BLOCK_STREAM_H_
