// A suffix array over the bytes of a part of the base (libdivsufsort), and a
// filter before it: where does a string of the new image stand?
#ifndef SHOAL_DELTA_MAKE_SUFFIX_INDEX_H_
#define SHOAL_DELTA_MAKE_SUFFIX_INDEX_H_

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace shoal::delta {

// The shortest string that the filter knows.
inline constexpr int64_t kGram = 8;

// The first bytes that are equal, `limit` at most.
inline int64_t EqualBytes(const uint8_t* a, const uint8_t* b, int64_t limit) {
  int64_t n = 0;
  while (n + 8 <= limit) {
    uint64_t x, y;
    memcpy(&x, a + n, 8);
    memcpy(&y, b + n, 8);
    if (x != y) return n + __builtin_ctzll(x ^ y) / 8;  // little endian
    n += 8;
  }
  while (n < limit && a[n] == b[n]) ++n;
  return n;
}
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

// Five to six bytes of memory for each that it indexes. Const calls from
// several threads are safe.
class SuffixIndex {
 public:
  struct Found {
    int64_t at = 0;     // where the bytes stand that are equal
    int64_t size = 0;   // how many
    int64_t index = 0;  // in the suffix array
  };

  SuffixIndex() = default;  // finds nothing
  // `bytes` are below 1 GiB and must stay where they are.
  explicit SuffixIndex(std::string_view bytes);

  bool empty() const { return suffixes_.empty(); }
  // False when the `size` bytes at p, kGram or more, occur nowhere.
  bool MayOccur(const uint8_t* p, int64_t size) const;
  // The longest match of what begins at p; some thousand bytes at most.
  Found Longest(const uint8_t* p, int64_t size) const;
  // Of the places that begin with the `found.size` bytes at n[at]: the one
  // whose surroundings are most alike, for an alignment goes on beyond the
  // match. Of equals the nearest to `near`. `size` bytes are at n.
  Found MostAlike(const Found& found, const uint8_t* n, int64_t at,
                  int64_t size, int64_t near) const;

 private:
  const uint8_t* data() const {
    return reinterpret_cast<const uint8_t*>(bytes_.data());
  }
  void Sort();
  void FillBuckets();
  void FillFilter();

  std::string_view bytes_;
  std::vector<int32_t> suffixes_;
  std::vector<int32_t> buckets_;  // first suffix by its first two bytes
  std::vector<uint64_t> filter_;  // which strings of kGram may be in bytes_
  int filter_shift_ = 0;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_SUFFIX_INDEX_H_
