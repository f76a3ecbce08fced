// A block's stored bytes, read forward through a small buffer.
#ifndef SHOAL_DELTA_IMAGE_STORED_INPUT_H_
#define SHOAL_DELTA_IMAGE_STORED_INPUT_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "common/status.h"
#include "delta/image/block_stream.h"

namespace shoal::delta {

class StoredInput {
 public:
  StoredInput(const ReadAt& read, uint64_t offset, uint64_t length)
      : read_(&read), next_(offset), left_(length) {}

  // Bytes that are there without reading more.
  std::string_view buffered() const {
    return {buffer_.data() + at_, filled_ - at_};
  }
  void Consume(size_t n) { at_ += n; }
  // True when nothing is left, neither buffered nor unread.
  bool AtEnd() const { return at_ == filled_ && left_ == 0; }

  // Reads more when nothing is buffered; "image_block" at the end.
  absl::Status Fill() {
    if (at_ < filled_) return absl::OkStatus();
    if (left_ == 0) return DataLoss("image_block", "a block is cut off");
    const size_t n = std::min<uint64_t>(left_, buffer_.size());
    SHOAL_RETURN_IF_ERROR((*read_)(next_, buffer_.data(), n));
    next_ += n;
    left_ -= n;
    at_ = 0;
    filled_ = n;
    return absl::OkStatus();
  }

  absl::StatusOr<uint8_t> Byte() {
    if (at_ == filled_) SHOAL_RETURN_IF_ERROR(Fill());
    return static_cast<uint8_t>(buffer_[at_++]);
  }

 private:
  const ReadAt* read_;
  uint64_t next_, left_;
  size_t at_ = 0, filled_ = 0;
  std::array<char, 4096> buffer_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_STORED_INPUT_H_
