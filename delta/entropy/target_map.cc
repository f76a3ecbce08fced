#include "delta/entropy/target_map.h"

namespace shoal::delta::mix {
namespace {

struct Key {
  uint32_t hash;
  uint16_t tag;
};
Key MakeKey(size_t level, AddressSpace space, uint64_t target) {
  const uint64_t page = target >> TargetMap::kBits[level];
  const uint64_t h =
      (page ^ static_cast<uint64_t>(space) << 60) * 0x9e3779b97f4a7c15u;
  return {static_cast<uint32_t>(h >> 32), static_cast<uint16_t>(h >> 16)};
}

}  // namespace

bool TargetMap::Allocate(const std::array<size_t, kLevels>& sizes) {
  for (size_t i = 0; i < kLevels; ++i)
    if (!tables_[i].Allocate(sizes[i])) return false;
  return true;
}

void TargetMap::Reset() {
  for (auto& table : tables_) table.Clear();
}

const TargetMap::Entry* TargetMap::Find(size_t level, AddressSpace space,
                                        uint64_t target) {
  const Key key = MakeKey(level, space, target);
  const Entry& e = tables_[level].At(key.hash);
  return e.used != 0 && e.tag == key.tag ? &e : nullptr;
}

void TargetMap::Put(size_t level, AddressSpace space, uint64_t target,
                    int32_t shift) {
  const Key key = MakeKey(level, space, target);
  Entry& e = tables_[level].At(key.hash);
  if (e.used != 0 && e.tag == key.tag && e.shift == shift) {
    if (e.hits < 3) ++e.hits;
    return;
  }
  e = {shift, key.tag, 1, 0};
}

void TargetMap::Learn(AddressSpace space, uint64_t target, int32_t shift,
                      bool neighbourhoods) {
  Put(0, space, target, shift);
  if (!neighbourhoods) return;
  for (size_t level = 1; level < kLevels; ++level)
    Put(level, space, target, shift);
}

void TargetMap::Moved(uint64_t old_at, uint64_t size, int32_t shift) {
  for (size_t level = 2; level < kLevels; ++level) {
    const uint64_t step = uint64_t{1} << kBits[level];
    uint64_t at = old_at;
    // The last byte's page too.
    for (uint64_t left = size; left > 0;) {
      Put(level, AddressSpace::kPlaces, at, shift);
      const uint64_t to_next = step - (at & (step - 1));
      if (to_next >= left) break;
      at += to_next;
      left -= to_next;
    }
  }
}

}  // namespace shoal::delta::mix
