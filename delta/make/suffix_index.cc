#include "delta/make/suffix_index.h"

#include <divsufsort.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

namespace shoal::delta {
namespace {

// Longer equal stretches come in several steps. Bounds the time on regular
// content, where each comparison would run to the end.
constexpr int64_t kMaxCompare = 4096;
// How many equally long matches on either side are looked at, and how much of
// their surroundings.
constexpr int64_t kTies = 64;
constexpr int64_t kBefore = 64;
constexpr int64_t kAfter = 128;
// Bits of the filter for each byte of the base: one of eight is set.
constexpr size_t kFilterBits = 8;

uint64_t GramHash(const uint8_t* p) {
  uint64_t gram;
  memcpy(&gram, p, kGram);
  return gram * 0x9e3779b97f4a7c15u;
}

}  // namespace

SuffixIndex::SuffixIndex(std::string_view bytes) : bytes_(bytes) {
  if (bytes_.size() < 2) return;
  Sort();
  FillBuckets();
  FillFilter();
}

void SuffixIndex::Sort() {
  suffixes_.resize(bytes_.size());
  if (divsufsort(data(), suffixes_.data(),
                 static_cast<int32_t>(bytes_.size())) != 0)
    throw std::bad_alloc();  // its only failure; caught where units are made
}

void SuffixIndex::FillBuckets() {
  // The very last suffix has one byte; it sorts before all with two.
  std::vector<int32_t> counts(65537, 0);
  const uint8_t* b = data();
  for (size_t i = 0; i + 1 < bytes_.size(); ++i)
    ++counts[static_cast<size_t>(b[i] << 8 | b[i + 1])];
  buckets_.resize(65537);
  const size_t last_byte = b[bytes_.size() - 1];
  int32_t sum = 0;
  for (size_t k = 0; k < 65536; ++k) {
    if (k == last_byte << 8) ++sum;  // step over the one-byte suffix
    buckets_[k] = sum;
    sum += counts[k];
  }
  buckets_[65536] = sum;
}

void SuffixIndex::FillFilter() {
  const uint8_t* b = data();
  const size_t filter_words =
      std::bit_ceil(bytes_.size() * kFilterBits / 64 + 1);
  filter_.assign(filter_words, 0);
  filter_shift_ = 64 - std::countr_zero(filter_words * 64);
  for (size_t i = 0; i + kGram <= bytes_.size(); ++i) {
    const uint64_t bit = GramHash(b + i) >> filter_shift_;
    filter_[bit / 64] |= uint64_t{1} << (bit % 64);
  }
}

bool SuffixIndex::MayOccur(const uint8_t* p, int64_t size) const {
  if (filter_.empty()) return false;
  const auto seen = [&](int64_t i) {
    const uint64_t bit = GramHash(p + i) >> filter_shift_;
    return (filter_[bit / 64] >> (bit % 64) & 1) != 0;
  };
  if (!seen(0)) return false;
  for (int64_t i = size - kGram; i > 0; i -= kGram)
    if (!seen(i)) return false;
  return true;
}

SuffixIndex::Found SuffixIndex::MostAlike(const Found& found, const uint8_t* n,
                                          int64_t at, int64_t size,
                                          int64_t near) const {
  const uint8_t* b = data();
  const int64_t all = static_cast<int64_t>(bytes_.size());
  Found best = found;
  int64_t best_alike = -1;
  const auto visit = [&](int64_t index) {
    const int64_t old_at = suffixes_[static_cast<size_t>(index)];
    if (all - old_at < found.size ||
        EqualBytes(b + old_at, n + at, found.size) != found.size)
      return false;
    int64_t alike = 0;
    const int64_t before = std::min({kBefore, at, old_at});
    for (int64_t i = 1; i <= before; ++i) alike += b[old_at - i] == n[at - i];
    const int64_t after =
        std::min({found.size + kAfter, size - at, all - old_at});
    for (int64_t i = found.size; i < after; ++i)
      alike += b[old_at + i] == n[at + i];
    if (alike > best_alike ||
        (alike == best_alike &&
         std::abs(old_at - near) < std::abs(best.at - near))) {
      best.at = old_at;
      best_alike = alike;
    }
    return true;
  };
  visit(found.index);
  const int64_t first = std::max<int64_t>(0, found.index - kTies);
  const int64_t last = std::min(all - 1, found.index + kTies);
  for (int64_t i = found.index - 1; i >= first && visit(i); --i) {
  }
  for (int64_t i = found.index + 1; i <= last && visit(i); ++i) {
  }
  return best;
}

SuffixIndex::Found SuffixIndex::Longest(const uint8_t* p, int64_t size) const {
  if (suffixes_.empty() || size < 2) return {};
  const size_t key = static_cast<size_t>(p[0] << 8 | p[1]);
  const uint8_t* b = data();
  const int64_t all = static_cast<int64_t>(bytes_.size());
  int32_t low = buckets_[key], high = buckets_[key + 1];
  // The one-byte suffix may stand between two buckets; it starts the next.
  if (key + 1 < 65536 && (key & 0xff) == 0xff &&
      (key + 1) >> 8 == static_cast<size_t>(b[all - 1]))
    --high;
  if (low >= high) return {};
  const int64_t limit = std::min(size, kMaxCompare);
  Found best;
  int64_t low_equal = 2, high_equal = 2;
  // Invariant: suffixes before `low` are smaller, from `high` on larger, and
  // the neighbours share low_equal and high_equal bytes with p.
  while (low < high) {
    const int32_t middle = low + (high - low) / 2;
    const int64_t at = suffixes_[static_cast<size_t>(middle)];
    const int64_t skip = std::min(low_equal, high_equal);
    const int64_t room = std::min(limit, all - at);
    const int64_t equal =
        skip >= room ? room
                     : skip + EqualBytes(b + at + skip, p + skip, room - skip);
    if (equal > best.size) best = {at, equal, middle};
    if (equal == limit) break;
    if (equal == all - at || b[at + equal] < p[equal]) {
      low = middle + 1;
      low_equal = equal;
    } else {
      high = middle;
      high_equal = equal;
    }
  }
  if (best.size == limit)
    best.size +=
        EqualBytes(b + best.at + limit, p + limit,
                   std::min<int64_t>({size - limit, all - best.at - limit,
                                      int64_t{4} * kMaxCompare}));
  return best;
}

}  // namespace shoal::delta
