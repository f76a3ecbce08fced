// Alignments of gaps to chosen ranges of the base.
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
#include "delta/make/suffix_index.h"

namespace shoal::delta {

// Holds the ranges' bytes one after the other and their index: six to seven
// bytes a byte. Stays where it was made.
class Matcher {
 public:
  // Below 1 GiB in sum. A suffix array is worth its time only from some
  // number of gap bytes on; without it gaps are only extended from anchors.
  Matcher(std::string_view old_image, const std::vector<Range>& ranges,
          bool with_suffix_array);
  Matcher(const Matcher&) = delete;
  Matcher& operator=(const Matcher&) = delete;

  // Alignments of parts of the gap to the base, in order, disjoint; their
  // bytes are alike, not equal. What lies between them is new. `cancel` may
  // be null.
  std::vector<Match> FindAlignments(std::string_view new_image, const Gap& gap,
                                    const std::atomic<bool>* cancel) const;

 private:
  // From places in the base to places here and back.
  std::optional<int64_t> ToLocal(uint64_t old_at) const;
  void AppendGlobal(uint64_t new_at, int64_t local, int64_t size,
                    std::vector<Match>& out) const;

  std::vector<Range> ranges_;
  std::vector<int64_t> starts_;  // of each range here
  std::string bytes_;
  SuffixIndex index_;  // of bytes_, or empty
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_MATCHER_H_
