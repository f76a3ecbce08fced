// bsdiff's matching (C. Percival, "Naive differences of executable code",
// 2003) of gaps against chosen ranges of the base.
#ifndef SHOAL_DELTA_MAKE_MATCHER_H_
#define SHOAL_DELTA_MAKE_MATCHER_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "delta/make/block_match.h"
#include "delta/make/plan.h"

namespace shoal::delta {

// Holds the ranges' bytes one after the other, their suffix array and a filter
// of their short strings: six to seven bytes a byte. Not thread-safe.
class Matcher {
 public:
  // Below 1 GiB in sum. A suffix array is worth its time only from some
  // number of gap bytes on; without it gaps are only extended from anchors.
  Matcher(std::string_view old_image, const std::vector<Range>& ranges,
          bool with_suffix_array);

  // Alignments of parts of the gap to the base, in order, disjoint; their
  // bytes are alike, not equal. What lies between them is new. `cancel` may
  // be null.
  std::vector<Match> FindAlignments(std::string_view new_image, const Gap& gap,
                                    const std::atomic<bool>* cancel) const;

 private:
  struct Found {
    int64_t at = 0;
    int64_t size = 0;
    int64_t index = 0;  // in suffixes_
  };
  Found Longest(const uint8_t* p, int64_t size) const;
  bool MayOccur(const uint8_t* p, int64_t size) const;
  Found MostAlike(const Found& found, const uint8_t* n, int64_t at,
                  int64_t size, int64_t near) const;
  // From places in the base to places here and back.
  std::optional<int64_t> ToLocal(uint64_t old_at) const;
  void AppendGlobal(uint64_t new_at, int64_t local, int64_t size,
                    std::vector<Match>& out) const;

  std::vector<Range> ranges_;
  std::vector<int64_t> starts_;  // of each range here
  std::string bytes_;
  std::vector<int32_t> suffixes_;
  std::vector<int32_t> buckets_;  // first suffix by its first two bytes
  std::vector<uint64_t> filter_;  // which strings of 8 bytes may be in bytes_
  int filter_shift_ = 0;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_MATCHER_H_
