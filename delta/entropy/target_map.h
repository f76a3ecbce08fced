// Remembers by how much places of the base moved: of single targets, and of
// neighbourhoods of 64 bytes to 64 KiB. What was learned last wins.
#ifndef SHOAL_DELTA_ENTROPY_TARGET_MAP_H_
#define SHOAL_DELTA_ENTROPY_TARGET_MAP_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "delta/entropy/table.h"

namespace shoal::delta::mix {

// What addresses mean; each has a memory of its own.
enum class AddressSpace : uint8_t { kPlaces = 0, kPointers = 1, kWords = 2 };

class TargetMap {
 public:
  struct Entry {
    int32_t shift;
    uint16_t tag;
    uint8_t used;  // 0 or 1
    uint8_t hits;  // how often the same shift came again, up to 3
  };
  // Level 0 is the exact target, 1 … 4 neighbourhoods.
  static constexpr size_t kLevels = 5;
  static constexpr std::array<int, kLevels> kBits = {0, 6, 9, 12, 16};

  // Sizes in entries.
  bool Allocate(const std::array<size_t, kLevels>& sizes);
  void Reset();

  // Null when nothing is known.
  const Entry* Find(size_t level, AddressSpace space, uint64_t target);
  void Learn(AddressSpace space, uint64_t target, int32_t shift,
             bool neighbourhoods);
  // All bytes of a stretch of the base moved by `shift`.
  void Moved(uint64_t old_at, uint64_t size, int32_t shift);

 private:
  void Put(size_t level, AddressSpace space, uint64_t target, int32_t shift);
  std::array<Table<Entry>, kLevels> tables_;
};

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_TARGET_MAP_H_
