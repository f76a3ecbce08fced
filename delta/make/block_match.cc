#include "delta/make/block_match.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

namespace shoal::delta {
namespace {

constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15u;  // odd, well mixed
constexpr uint64_t kMaxBlocks = 1u << 20;
constexpr size_t kStep = 4 << 20;  // bytes between calls of go_on

uint64_t Value(char c) { return static_cast<uint8_t>(c) + 1u; }

uint64_t HashBlock(const char* p, size_t size) {
  uint64_t h = 0;
  for (size_t i = 0; i < size; ++i) h = h * kMultiplier + Value(p[i]);
  return h;
}

uint64_t Mix(uint64_t h) {
  h ^= h >> 32;
  h *= 0xD6E8FEB86659FD93u;
  return h ^ (h >> 32);
}

// Blocks of the base by hash; of equal ones only the first.
class BlockTable {
 public:
  BlockTable(std::string_view old_image, size_t block,
             const std::function<bool()>& go_on)
      : old_(old_image), block_(block) {
    const size_t blocks = old_.size() / block_;
    const size_t slots = std::bit_ceil(std::max<size_t>(16, blocks * 2));
    slots_.assign(slots, {});
    filter_.assign(std::bit_ceil(std::max<size_t>(64, blocks)) / 4, 0);
    for (size_t i = 0; i < blocks; ++i) {
      if (i % (kStep / block) == 0 && !go_on()) return;
      Insert(i);
    }
  }

  // The place in the base of a block equal to the one at `p`; npos if none.
  static constexpr size_t npos = ~size_t{0};
  size_t Find(uint64_t hash, const char* p) const {
    const uint64_t mixed = Mix(hash);
    const size_t bit = FilterBit(mixed);
    if (!(filter_[bit >> 6] >> (bit & 63) & 1)) return npos;
    for (size_t s = mixed & (slots_.size() - 1);;
         s = (s + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[s];
      if (slot.block_plus_one == 0) return npos;
      const size_t at = (slot.block_plus_one - size_t{1}) * block_;
      if (slot.tag == Tag(mixed) && memcmp(old_.data() + at, p, block_) == 0)
        return at;
    }
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    uint32_t block_plus_one = 0;
  };
  static uint32_t Tag(uint64_t mixed) {
    return static_cast<uint32_t>(mixed >> 32);
  }
  size_t FilterBit(uint64_t mixed) const {
    return (mixed >> 20) & (filter_.size() * 64 - 1);
  }
  void Insert(size_t block) {
    const char* p = old_.data() + block * block_;
    const uint64_t mixed = Mix(HashBlock(p, block_));
    for (size_t s = mixed & (slots_.size() - 1);;
         s = (s + 1) & (slots_.size() - 1)) {
      Slot& slot = slots_[s];
      if (slot.block_plus_one == 0) {
        slot = {Tag(mixed), static_cast<uint32_t>(block + 1)};
        break;
      }
      // Same tag in the same chain: equal content, or so rare that losing
      // one block does not matter.
      if (slot.tag == Tag(mixed)) return;
    }
    const size_t bit = FilterBit(mixed);
    filter_[bit >> 6] |= uint64_t{1} << (bit & 63);
  }

  std::string_view old_;
  size_t block_;
  std::vector<Slot> slots_;
  std::vector<uint64_t> filter_;
};

// How many bytes are equal from `a` and `b` on, at most `limit`. Stops early
// when `go_on` says so: images may be equal for gigabytes.
size_t EqualForward(const char* a, const char* b, size_t limit,
                    const std::function<bool()>& go_on) {
  size_t n = 0;
  while (n + 64 <= limit && memcmp(a + n, b + n, 64) == 0) {
    n += 64;
    if (n % kStep == 0 && !go_on()) return n;
  }
  while (n < limit && a[n] == b[n]) ++n;
  return n;
}

size_t EqualBackward(const char* a, const char* b, size_t limit) {
  size_t n = 0;
  while (n < limit &&
         a[-1 - static_cast<ptrdiff_t>(n)] == b[-1 - static_cast<ptrdiff_t>(n)])
    ++n;
  return n;
}

}  // namespace

BlockMatches FindBlockMatches(std::string_view old_image,
                              std::string_view new_image,
                              const std::function<bool()>& go_on) {
  BlockMatches result;
  size_t block = 256;
  while (old_image.size() / block > kMaxBlocks) block *= 2;
  if (old_image.size() < block || new_image.size() < block) return result;
  const BlockTable table(old_image, block, go_on);
  uint64_t power = 1;  // kMultiplier^block
  for (size_t i = 0; i < block; ++i) power *= kMultiplier;

  uint64_t claimed = 0;    // new bytes before this are in an anchor
  int64_t last_shift = 0;  // old minus new place of the last anchor
  size_t at = 0, next_step = 0;
  uint64_t hash = HashBlock(new_image.data(), block);
  const size_t last = new_image.size() - block;
  while (at <= last) {
    if (at >= next_step) {
      if (!go_on()) break;
      next_step = at + kStep;
    }
    size_t found = table.Find(hash, new_image.data() + at);
    if (found == BlockTable::npos) {
      if (at < last)
        hash = hash * kMultiplier + Value(new_image[at + block]) -
               power * Value(new_image[at]);
      ++at;
      continue;
    }
    const auto length_at = [&](size_t old_at) {
      return EqualForward(
          old_image.data() + old_at, new_image.data() + at,
          std::min(old_image.size() - old_at, new_image.size() - at), go_on);
    };
    size_t length = length_at(found);
    // Content that occurs often (zeros): rather go on as before.
    const int64_t same = static_cast<int64_t>(at) + last_shift;
    if (same >= 0 && static_cast<size_t>(same) < old_image.size() &&
        static_cast<size_t>(same) != found) {
      const size_t other = length_at(static_cast<size_t>(same));
      if (other >= length) {
        length = other;
        found = static_cast<size_t>(same);
      }
    }
    const size_t back =
        EqualBackward(old_image.data() + found, new_image.data() + at,
                      std::min<size_t>(found, at - claimed));
    const Match match{at - back, found - back, length + back};
    at += length;
    if (match.size >= kAnchorSize) {
      result.anchors.push_back(match);
      claimed = at;
      last_shift = static_cast<int64_t>(match.old_at) -
                   static_cast<int64_t>(match.new_at);
    } else {
      result.hints.push_back(match);
    }
    if (at <= last) hash = HashBlock(new_image.data() + at, block);
  }
  return result;
}

}  // namespace shoal::delta
