// Walks the sequences of an LZ4 block (lz4_Block_format.md) without expanding
// them.
#ifndef SHOAL_DELTA_IMAGE_LZ4_SEQUENCES_H_
#define SHOAL_DELTA_IMAGE_LZ4_SEQUENCES_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace shoal::delta {

inline constexpr size_t kLz4MinMatch = 4;

struct Lz4Sequence {
  size_t literals = 0;
  size_t match = 0;  // ≥ kLz4MinMatch; 0: the block's last literals
  size_t distance = 0;
  size_t stored = 0;  // bytes that it takes
};

// The sequence at the front of `bytes`; false when it is cut off.
inline bool ReadLz4Sequence(std::string_view bytes, Lz4Sequence& sequence) {
  size_t at = 0;
  const auto length = [&](size_t nibble, size_t& value) {
    value = nibble;
    if (nibble != 15) return true;
    for (uint8_t more = 255; more == 255;) {
      if (at == bytes.size()) return false;
      more = static_cast<uint8_t>(bytes[at++]);
      value += more;
    }
    return true;
  };
  if (bytes.empty()) return false;
  const auto token = static_cast<uint8_t>(bytes[at++]);
  if (!length(token >> 4, sequence.literals) ||
      sequence.literals > bytes.size() - at)
    return false;
  at += sequence.literals;
  sequence.match = sequence.distance = 0;
  if (at < bytes.size()) {
    if (bytes.size() - at < 2) return false;
    sequence.distance = static_cast<uint8_t>(bytes[at]) |
                        size_t{static_cast<uint8_t>(bytes[at + 1])} << 8;
    at += 2;
    if (!length(token & 15, sequence.match)) return false;
    sequence.match += kLz4MinMatch;
  }
  sequence.stored = at;
  return true;
}

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_LZ4_SEQUENCES_H_
