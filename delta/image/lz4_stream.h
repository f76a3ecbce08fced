// Expands one LZ4 block (lz4_Block_format.md) in passing. Written for the
// block of 8 MiB of an LZ4 kernel: 64 KiB of history and as much again in
// front of it, whatever the block's length.
#ifndef SHOAL_DELTA_IMAGE_LZ4_STREAM_H_
#define SHOAL_DELTA_IMAGE_LZ4_STREAM_H_

#include "delta/image/block_stream.h"
#include "delta/image/stored_input.h"

namespace shoal::delta {

class Lz4Stream : public BlockStream {
 public:
  Lz4Stream(const ReadAt& read, uint64_t offset, uint64_t stored_length,
            uint64_t raw_length)
      : input_(read, offset, stored_length), raw_left_(raw_length) {}

  absl::Status Read(char* out, size_t size) override;
  bool StepBack(uint64_t place) override;
  absl::Status CheckEnd() override;
  absl::StatusOr<std::unique_ptr<BlockStream>> Clone() const override;

 private:
  static constexpr size_t kHistory = 64u << 10;
  static constexpr size_t kAhead = 64u << 10;

  // Decodes until the window is full or the block is complete.
  absl::Status Decode();
  absl::Status NextSequence();
  absl::Status TakeLength(uint64_t& length);
  absl::Status Literals();
  void Match();

  StoredInput input_;
  uint64_t raw_left_;      // not decoded yet
  uint64_t literals_ = 0;  // of this sequence, not copied yet
  uint64_t match_ = 0;     // of this sequence, not copied yet
  size_t distance_ = 0;
  bool match_due_ = false;  // the sequence's match was not read yet
  uint8_t token_ = 0;
  size_t end_ = 0;   // decoded bytes in window_
  size_t read_ = 0;  // of them given out (or history)
  std::array<char, kHistory + kAhead> window_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_LZ4_STREAM_H_
