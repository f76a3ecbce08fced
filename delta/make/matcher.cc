#include "delta/make/matcher.h"

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
// An alignment that goes on this long needs no search for a better one.
constexpr int64_t kGoesOn = 24;
// bsdiff's: another alignment must explain this many bytes more.
constexpr int64_t kBetterBy = 8;
// How many equally long matches on either side are looked at, and how much of
// their surroundings.
constexpr int64_t kTies = 64;
constexpr int64_t kBefore = 64;
constexpr int64_t kAfter = 128;

// Shorter matches never begin an alignment, so that a filter of the base's
// strings of this length spares most searches.
constexpr int64_t kGram = 8;
static_assert(kGram <= kBetterBy);
// Bits of the filter for each byte of the base: one of eight is set.
constexpr size_t kFilterBits = 8;

uint64_t GramHash(const uint8_t* p) {
  uint64_t gram;
  memcpy(&gram, p, kGram);
  return gram * 0x9e3779b97f4a7c15u;
}

int64_t EqualBytes(const uint8_t* a, const uint8_t* b, int64_t limit) {
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

// Where the alignment that is being extended next misses as often as another
// must be better: a match that ends before explains too little to be taken.
class Misses {
 public:
  // `same(at)` says whether the alignment explains the byte.
  template <class Same>
  Misses(int64_t at, int64_t size, const Same& same) : end_(at), size_(size) {
    Extend(same);
  }
  // Behind the last of these misses; none when the bytes end before.
  std::optional<int64_t> end() const {
    return count_ > kBetterBy ? std::optional<int64_t>(end_) : std::nullopt;
  }
  template <class Same>
  void Leave(int64_t at, const Same& same) {
    if (!same(at)) --count_;
    Extend(same);
  }

 private:
  template <class Same>
  void Extend(const Same& same) {
    for (; count_ <= kBetterBy && end_ < size_; ++end_)
      if (!same(end_)) ++count_;
  }
  int64_t end_, size_, count_ = 0;
};

}  // namespace

Matcher::Matcher(std::string_view old_image, const std::vector<Range>& ranges,
                 bool with_suffix_array)
    : ranges_(ranges) {
  size_t total = 0;
  for (const Range& r : ranges_) total += r.end - r.begin;
  bytes_.reserve(total);
  for (const Range& r : ranges_) {
    starts_.push_back(static_cast<int64_t>(bytes_.size()));
    bytes_.append(old_image.substr(r.begin, r.end - r.begin));
  }
  if (!with_suffix_array || bytes_.size() < 2) return;
  suffixes_.resize(bytes_.size());
  if (divsufsort(reinterpret_cast<const uint8_t*>(bytes_.data()),
                 suffixes_.data(), static_cast<int32_t>(bytes_.size())) != 0)
    throw std::bad_alloc();  // its only failure; caught where units are made
  // The very last suffix has one byte; it sorts before all with two.
  std::vector<int32_t> counts(65537, 0);
  const uint8_t* b = reinterpret_cast<const uint8_t*>(bytes_.data());
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
  const size_t filter_words =
      std::bit_ceil(bytes_.size() * kFilterBits / 64 + 1);
  filter_.assign(filter_words, 0);
  filter_shift_ = 64 - std::countr_zero(filter_words * 64);
  for (size_t i = 0; i + kGram <= bytes_.size(); ++i) {
    const uint64_t bit = GramHash(b + i) >> filter_shift_;
    filter_[bit / 64] |= uint64_t{1} << (bit % 64);
  }
}

// False when the `size` bytes at p, kGram or more, occur nowhere.
bool Matcher::MayOccur(const uint8_t* p, int64_t size) const {
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

// Of the places that begin with the `found.size` bytes at n[at]: the one whose
// surroundings are most alike, for an alignment goes on beyond the match. Of
// equals the nearest to `near`.
Matcher::Found Matcher::MostAlike(const Found& found, const uint8_t* n,
                                  int64_t at, int64_t size,
                                  int64_t near) const {
  const uint8_t* b = reinterpret_cast<const uint8_t*>(bytes_.data());
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

Matcher::Found Matcher::Longest(const uint8_t* p, int64_t size) const {
  if (suffixes_.empty() || size < 2) return {};
  const size_t key = static_cast<size_t>(p[0] << 8 | p[1]);
  const uint8_t* b = reinterpret_cast<const uint8_t*>(bytes_.data());
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

std::optional<int64_t> Matcher::ToLocal(uint64_t old_at) const {
  for (size_t i = 0; i < ranges_.size(); ++i)
    if (old_at >= ranges_[i].begin && old_at <= ranges_[i].end)
      return starts_[i] + static_cast<int64_t>(old_at - ranges_[i].begin);
  return std::nullopt;
}

void Matcher::AppendGlobal(uint64_t new_at, int64_t local, int64_t size,
                           std::vector<Match>& out) const {
  size_t i = static_cast<size_t>(
      std::upper_bound(starts_.begin(), starts_.end(), local) -
      starts_.begin() - 1);
  while (size > 0) {
    const uint64_t old_at =
        ranges_[i].begin + static_cast<uint64_t>(local - starts_[i]);
    const int64_t n =
        std::min<int64_t>(size, static_cast<int64_t>(ranges_[i].end - old_at));
    if (n > 0) out.push_back({new_at, old_at, static_cast<uint64_t>(n)});
    new_at += static_cast<uint64_t>(n);
    local += n;
    size -= n;
    ++i;
  }
}

std::vector<Match> Matcher::FindAlignments(
    std::string_view new_image, const Gap& gap,
    const std::atomic<bool>* cancel) const {
  std::vector<Match> out;
  if (bytes_.empty()) return out;
  const uint8_t* o = reinterpret_cast<const uint8_t*>(bytes_.data());
  const uint8_t* n =
      reinterpret_cast<const uint8_t*>(new_image.data()) + gap.begin;
  const int64_t old_size = static_cast<int64_t>(bytes_.size());
  const int64_t size = static_cast<int64_t>(gap.end - gap.begin);
  const auto same_at = [&](int64_t at, int64_t shift) {
    const int64_t there = at + shift;
    return there >= 0 && there < old_size && o[there] == n[at];
  };

  const std::optional<int64_t> before =
      gap.old_before ? ToLocal(*gap.old_before) : std::nullopt;
  const std::optional<int64_t> after =
      gap.old_after ? ToLocal(*gap.old_after) : std::nullopt;
  // The alignment that is being extended: last_at in the gap, last_old here.
  int64_t last_at = 0, last_old = before.value_or(0), shift = last_old;
  bool have_last = before.has_value() || !suffixes_.empty();
  int64_t at = 0;
  Found found;
  while (at < size) {
    int64_t score = 0;
    bool goes_on = false;
    at += found.size;
    found = {};
    if (suffixes_.empty()) at = size;
    const auto same = [&](int64_t i) { return same_at(i, shift); };
    Misses misses(at, size, same);
    for (int64_t scored = at; at < size; ++at) {
      if ((at & 0xfff) == 0 && cancel != nullptr && cancel->load()) return {};
      if (same_at(at, shift)) {
        const int64_t there = at + shift;
        const int64_t run =
            EqualBytes(o + there, n + at,
                       std::min<int64_t>({size - at, old_size - there, 16384}));
        if (run >= kGoesOn) {
          found = {there, run};
          goes_on = true;
          break;
        }
      }
      const std::optional<int64_t> enough = misses.end();
      if (!enough) {  // no match can be better any more
        at = size;
        break;
      }
      found =
          MayOccur(n + at, *enough - at) ? Longest(n + at, size - at) : Found{};
      for (; scored < at + std::max<int64_t>(found.size, 1); ++scored)
        if (same_at(scored, shift)) ++score;
      if (found.size == score && found.size != 0) {
        goes_on = true;
        break;
      }
      if (found.size > score + kBetterBy) {
        if (found.size < kGoesOn)
          found = MostAlike(found, n, at, size, at + shift);
        break;
      }
      if (same_at(at, shift)) --score;
      misses.Leave(at, same);
    }
    if (at >= size) {
      at = size;
      found = {};
    } else if (goes_on) {
      continue;
    }

    // Extend the last alignment forward …
    int64_t forward = 0;
    if (have_last) {
      int64_t sum = 0, best = 0;
      for (int64_t i = 0; last_at + i < at && last_old + i < old_size;) {
        if (o[last_old + i] == n[last_at + i]) ++sum;
        ++i;
        if (sum * 2 - i > best * 2 - forward) {
          best = sum;
          forward = i;
        }
      }
    }
    // … and the new one (or that of the anchor behind the gap) backward.
    int64_t backward = 0, next_old = found.at;
    const bool have_next = at < size || after.has_value();
    if (at == size) next_old = after.value_or(0);
    if (have_next) {
      int64_t sum = 0, best = 0;
      for (int64_t i = 1; at >= last_at + i && next_old >= i; ++i) {
        if (o[next_old - i] == n[at - i]) ++sum;
        if (sum * 2 - i > best * 2 - backward) {
          best = sum;
          backward = i;
        }
      }
    }
    // Where both claim bytes, cut where the sum of equal bytes is largest.
    if (last_at + forward > at - backward) {
      const int64_t overlap = (last_at + forward) - (at - backward);
      int64_t sum = 0, best = 0, cut = 0;
      for (int64_t i = 0; i < overlap; ++i) {
        if (n[last_at + forward - overlap + i] ==
            o[last_old + forward - overlap + i])
          ++sum;
        if (n[at - backward + i] == o[next_old - backward + i]) --sum;
        if (sum > best) {
          best = sum;
          cut = i + 1;
        }
      }
      forward += cut - overlap;
      backward -= cut;
    }
    if (forward > 0)
      AppendGlobal(gap.begin + static_cast<uint64_t>(last_at), last_old,
                   forward, out);
    if (at == size) {
      if (backward > 0)
        AppendGlobal(gap.begin + static_cast<uint64_t>(at - backward),
                     next_old - backward, backward, out);
      break;
    }
    last_at = at - backward;
    last_old = next_old - backward;
    shift = next_old - at;
    have_last = true;
  }
  return out;
}

}  // namespace shoal::delta
