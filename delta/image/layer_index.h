// Finds the segment at a place of a layer: sums at every 32nd segment, so that
// the index costs less than a byte a segment.
#ifndef SHOAL_DELTA_IMAGE_LAYER_INDEX_H_
#define SHOAL_DELTA_IMAGE_LAYER_INDEX_H_

#include <cstdint>
#include <vector>

#include "delta/image/image_map.h"

namespace shoal::delta {

class LayerIndex {
 public:
  // `layer` must outlive the index.
  explicit LayerIndex(const Layer& layer);

  struct Place {
    size_t segment = 0;  // == segments.size() at the end
    uint64_t outer = 0;  // where the segment starts outside
    uint64_t inner = 0;  // where it starts inside
  };

  // The segment that holds the inner byte at `inner` (< inner_size).
  Place AtInner(uint64_t inner) const;
  // The segment that holds the outer byte at `outer` (≤ outer_size).
  Place AtOuter(uint64_t outer) const;

  const Layer& layer() const { return layer_; }
  static uint64_t Memory(const Layer& layer);

 private:
  template <typename Passed>
  Place Find(Passed passed) const;

  const Layer& layer_;
  std::vector<Place> marks_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_LAYER_INDEX_H_
