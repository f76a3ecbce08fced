// The coarse pass over the whole images: exact matches of at least one block
// of the base anywhere in the new image. Long ones become copies without more
// ado, short ones say where in the base a piece of the new image comes from.
#ifndef SHOAL_DELTA_MAKE_BLOCK_MATCH_H_
#define SHOAL_DELTA_MAKE_BLOCK_MATCH_H_

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace shoal::delta {

struct Match {
  uint64_t new_at = 0;
  uint64_t old_at = 0;
  uint64_t size = 0;
};

struct BlockMatches {
  std::vector<Match> anchors;  // exact, ≥ kAnchorSize, in order, disjoint
  std::vector<Match> hints;    // exact, shorter, in order of new_at
};

// Shorter exact matches are left to the suffix array, which knows better
// where they should begin and end.
inline constexpr uint64_t kAnchorSize = 16 << 10;

// One pass, about 2 ns a byte; memory about old / 16. `go_on` is called every
// few megabytes, and when it gives false the result is incomplete.
BlockMatches FindBlockMatches(std::string_view old_image,
                              std::string_view new_image,
                              const std::function<bool()>& go_on);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_BLOCK_MATCH_H_
