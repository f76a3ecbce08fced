// Fixed-size tables without exceptions, and the hash that indexes them.
#ifndef SHOAL_DELTA_ENTROPY_TABLE_H_
#define SHOAL_DELTA_ENTROPY_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

namespace shoal::delta::mix {

// Zeros at first. Aligned to a cache line.
template <typename T>
class Table {
 public:
  // False when there is no memory.
  bool Allocate(size_t size) {
    data_.reset(new (std::align_val_t{64}, std::nothrow) T[size]);
    size_ = data_ == nullptr ? 0 : size;
    Clear();
    return data_ != nullptr;
  }
  void Clear() {
    if (size_ != 0)
      memset(static_cast<void*>(data_.get()), 0, size_ * sizeof(T));
  }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data_.get()[i]; }
  const T& operator[](size_t i) const { return data_.get()[i]; }
  // The element for a hash: its high bits count.
  T& At(uint32_t hash) { return data_.get()[(uint64_t{hash} * size_) >> 32]; }
  void Prefetch(uint32_t hash) { __builtin_prefetch(&At(hash)); }

 private:
  struct Free {
    void operator()(T* p) const {
      operator delete[](static_cast<void*>(p), std::align_val_t{64});
    }
  };
  std::unique_ptr<T[], Free> data_;
  size_t size_ = 0;
};

// Mixes up to four numbers; all bits of the result are usable.
constexpr uint32_t Hash(uint64_t a, uint64_t b = 0, uint64_t c = 0,
                        uint64_t d = 0) {
  uint64_t h = (a + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
  h = (h ^ (h >> 29) ^ b) * 0x94d049bb133111ebu;
  h = (h ^ (h >> 31) ^ c) * 0xd6e8feb86659fd93u;
  h = (h ^ (h >> 30) ^ d) * 0xa0761d6478bd642fu;
  return static_cast<uint32_t>((h ^ (h >> 32)) >> 8);
}

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_TABLE_H_
