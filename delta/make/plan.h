// Cuts the work into units that are made independently: a stretch of the new
// image with a bounded number of bytes that no anchor covers ("gaps"), and the
// parts of the base in which to look for them.
#ifndef SHOAL_DELTA_MAKE_PLAN_H_
#define SHOAL_DELTA_MAKE_PLAN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "delta/make/block_match.h"

namespace shoal::delta {

struct Gap {
  uint64_t begin = 0;  // in the new image
  uint64_t end = 0;
  // Where the anchors before and after it end and begin in the base.
  std::optional<uint64_t> old_before;
  std::optional<uint64_t> old_after;
};

// Either an exact copy or a gap.
struct Piece {
  std::optional<Match> copy;
  Gap gap;
};

struct Range {
  uint64_t begin = 0;  // in the base
  uint64_t end = 0;
};

struct Unit {
  std::vector<Piece> pieces;  // they follow each other in the new image
  uint64_t gap_bytes = 0;
  uint64_t new_end = 0;
  std::vector<Range> old_ranges;  // in order, disjoint
};

// Units of at most `segment_size` gap bytes; the ranges of one sum up to about
// twice that.
std::vector<Unit> MakePlan(uint64_t old_size, uint64_t new_size,
                           const BlockMatches& matches, uint64_t segment_size);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_PLAN_H_
