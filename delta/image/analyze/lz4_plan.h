// Cuts a long LZ4 block into pieces that a device makes one by one, and proves
// each with the device's own code.
#ifndef SHOAL_DELTA_IMAGE_ANALYZE_LZ4_PLAN_H_
#define SHOAL_DELTA_IMAGE_ANALYZE_LZ4_PLAN_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "delta/image/image_map.h"

namespace shoal::delta {

// Pieces of which Lz4Pieces makes exactly `stored` of `raw` at that level of
// kLz4HcPieces; none when there are no such. `stored` expands to `raw`. Another
// level than the block's own is given up after its first pieces. Errors:
// "image_memory".
absl::StatusOr<std::vector<Piece>> PlanLz4Pieces(int level,
                                                 std::string_view raw,
                                                 std::string_view stored);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_ANALYZE_LZ4_PLAN_H_
