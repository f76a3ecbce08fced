// A carryless binary arithmetic coder on 32-bit bounds (as in M. Mahoney's
// lpaq), with probabilities of 16 bits. Both sides have the same call, so that
// one model serves both: Code(bit, p) returns the bit.
#ifndef SHOAL_DELTA_ENTROPY_ARITHMETIC_CODER_H_
#define SHOAL_DELTA_ENTROPY_ARITHMETIC_CODER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace shoal::delta::mix {

// The part of low … high that means "1": its last value.
inline uint32_t SplitRange(uint32_t low, uint32_t high, uint32_t p) {
  return low + static_cast<uint32_t>((uint64_t{high - low} * p) >> 16);
}

class BinaryEncoder {
 public:
  static constexpr bool kDecodes = false;

  // `p`: probability of a 1 in 1/65536, 1 to 65535.
  bool Code(bool bit, uint32_t p) {
    const uint32_t middle = SplitRange(low_, high_, p);
    if (bit)
      high_ = middle;
    else
      low_ = middle + 1;
    while (((low_ ^ high_) >> 24) == 0) {
      out_.push_back(static_cast<char>(high_ >> 24));
      low_ <<= 8;
      high_ = high_ << 8 | 255;
    }
    return bit;
  }

  size_t OutputSize() const { return out_.size(); }

  // Ends the window with as few bytes as tell the last interval, at most 4:
  // the decoder reads zeros behind the end.
  std::string TakeOutput() {
    if (low_ != 0) {
      // The value within low … high with the most zeros at its end.
      uint32_t value = high_;
      for (int zeros = 8; zeros < 32; zeros += 8) {
        const uint32_t shorter = (high_ >> zeros) << zeros;
        if (shorter < low_) break;
        value = shorter;
      }
      for (; value != 0; value <<= 8)
        out_.push_back(static_cast<char>(value >> 24));
    }
    low_ = 0;
    high_ = ~uint32_t{0};
    return std::exchange(out_, {});
  }

 private:
  uint32_t low_ = 0, high_ = ~uint32_t{0};
  std::string out_;
};

class BinaryDecoder {
 public:
  static constexpr bool kDecodes = true;

  void Begin(std::span<const uint8_t> in) {
    in_ = in;
    at_ = 0;
    low_ = 0;
    high_ = ~uint32_t{0};
    value_ = 0;
    for (int i = 0; i < 4; ++i) value_ = value_ << 8 | NextByte();
  }

  bool Code(bool, uint32_t p) {
    const uint32_t middle = SplitRange(low_, high_, p);
    const bool bit = value_ <= middle;
    if (bit)
      high_ = middle;
    else
      low_ = middle + 1;
    while (((low_ ^ high_) >> 24) == 0) {
      low_ <<= 8;
      high_ = high_ << 8 | 255;
      value_ = value_ << 8 | NextByte();
    }
    return bit;
  }

  // True when more was read than an encoder can have left out.
  bool Overrun() const { return at_ > in_.size() + 4; }
  // True when the window was read to its end and not beyond.
  bool Finished() const { return at_ >= in_.size() && !Overrun(); }

 private:
  uint32_t NextByte() {
    const size_t at = at_;
    if (at_ <= in_.size() + 4) ++at_;  // stays there: no overflow
    return at < in_.size() ? in_[at] : 0;
  }

  std::span<const uint8_t> in_;
  size_t at_ = 0;
  uint32_t low_ = 0, high_ = ~uint32_t{0}, value_ = 0;
};

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_ARITHMETIC_CODER_H_
