// Expands one LZ4 block (lz4_Block_format.md) in passing. Written for the
// block of 8 MiB of an LZ4 kernel: the 64 KiB that matches refer to are kept in
// a ring, whatever the block's length, and a copy costs no more than that.
#ifndef SHOAL_DELTA_IMAGE_LZ4_STREAM_H_
#define SHOAL_DELTA_IMAGE_LZ4_STREAM_H_

#include <array>

#include "delta/image/block_stream.h"
#include "delta/image/stored_input.h"

namespace shoal::delta {

class Lz4Stream : public BlockStream {
 public:
  Lz4Stream(const ReadAt& read, uint64_t offset, uint64_t stored_length,
            uint64_t raw_length)
      : input_(read, offset, stored_length), raw_length_(raw_length) {}

  absl::Status Read(char* out, size_t size) override;
  bool StepBack(uint64_t place) override;
  absl::Status CheckEnd() override;
  absl::StatusOr<std::unique_ptr<BlockStream>> Clone() const override;

 private:
  static constexpr size_t kHistory = 64u << 10;
  // Room for copies that write some bytes too many.
  static constexpr size_t kRing = kHistory + (4u << 10);

  // Decodes up to `target` of the block.
  absl::Status DecodeTo(uint64_t target);
  void ShortSequences(uint64_t target);
  absl::Status NextSequence();
  absl::Status TakeLength(uint64_t& length);
  absl::Status Literals(uint64_t target);
  void Match(uint64_t target);
  void Advance(size_t n);
  uint64_t raw_left() const { return raw_length_ - made_; }

  StoredInput input_;
  uint64_t raw_length_;
  uint64_t made_ = 0;      // raw bytes decoded so far
  uint64_t literals_ = 0;  // of this sequence, not copied yet
  uint64_t match_ = 0;     // of this sequence, not copied yet
  size_t distance_ = 0;
  bool match_due_ = false;  // the sequence's match was not read yet
  uint8_t token_ = 0;
  size_t next_ = 0;  // where in the ring the next byte goes
  std::array<char, kRing> ring_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_LZ4_STREAM_H_
