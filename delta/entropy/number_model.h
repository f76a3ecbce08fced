// Codes numbers of 64 bits: their length as a tree of bits, then the bits
// below the first; and places of the base by their distance to the result.
#ifndef SHOAL_DELTA_ENTROPY_NUMBER_MODEL_H_
#define SHOAL_DELTA_ENTROPY_NUMBER_MODEL_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "delta/entropy/mixer.h"

namespace shoal::delta::mix {

class NumberModel {
 public:
  // Public kinds, and one more for distances that are new.
  static constexpr size_t kKinds = 9;
  static constexpr size_t kDistances = 8;

  void Reset() {
    for (auto& kind : kinds_) {
      kind.last_length = 0;
      for (auto& row : kind.lengths) row.fill(Adaptive());
      for (auto& row : kind.high) row.fill(Adaptive());
      kind.low.fill(Adaptive());
    }
    for (auto& row : hits_) row.fill(Adaptive());
    distances_.fill(0);
    last_hit_ = 0;
  }

  template <class Coder>
  uint64_t Code(Coder& coder, size_t kind_index, uint64_t value) {
    Kind& kind = kinds_[kind_index];
    const uint32_t length = static_cast<uint32_t>(std::bit_width(value));
    auto& tree = kind.lengths[kind.last_length / 4];
    uint32_t node = 1;
    for (int i = 6; i >= 0; --i)
      node = node << 1 | Bit(coder, tree[node], (length >> i & 1) != 0);
    // Damaged input may say more than 64.
    const uint32_t bits = std::min<uint32_t>(node & 127, 64);
    kind.last_length = bits;
    if (bits < 2) return bits;
    uint64_t result = 1;
    for (int i = static_cast<int>(bits) - 2; i >= 0; --i) {
      const uint32_t done = bits - 2 - static_cast<uint32_t>(i);
      Adaptive& p =
          done < 3
              ? kind.high[bits][(1u << done) + (result & ((1u << done) - 1))]
              : kind.low[static_cast<size_t>(i)];
      result = result << 1 | Bit(coder, p, (value >> i & 1) != 0);
    }
    return result;
  }

  // The place in the base for a place in the result.
  template <class Coder>
  uint64_t CodePlace(Coder& coder, uint64_t new_at, uint64_t old_at) {
    const uint64_t distance = old_at - new_at;
    size_t i = 0;
    for (; i < kDistances; ++i)
      if (Bit(coder, hits_[last_hit_][i], distances_[i] == distance)) break;
    last_hit_ = i;
    uint64_t result;
    if (i < kDistances) {
      result = distances_[i];
    } else {
      const uint64_t step = distance - distances_[0];
      const uint64_t zigzag = step << 1 ^ (0 - (step >> 63));
      const uint64_t back = Code(coder, kKinds - 1, zigzag);
      result = distances_[0] + (back >> 1 ^ (0 - (back & 1)));
      i = kDistances - 1;
    }
    for (; i > 0; --i) distances_[i] = distances_[i - 1];
    distances_[0] = result;
    return result + new_at;
  }

 private:
  struct Kind {
    uint32_t last_length = 0;
    std::array<std::array<Adaptive, 128>, 17> lengths;
    std::array<std::array<Adaptive, 8>, 65> high;
    std::array<Adaptive, 64> low;
  };

  template <class Coder>
  static uint32_t Bit(Coder& coder, Adaptive& p, bool bit) {
    const bool result = coder.Code(bit, p.CodingP());
    p.Update(result, 60);
    return result ? 1 : 0;
  }

  std::array<Kind, kKinds> kinds_;
  std::array<uint64_t, kDistances> distances_{};  // the latest first
  std::array<std::array<Adaptive, kDistances>, kDistances + 1> hits_;
  size_t last_hit_ = 0;
};

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_NUMBER_MODEL_H_
