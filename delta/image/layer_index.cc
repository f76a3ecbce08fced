#include "delta/image/layer_index.h"

#include <algorithm>

namespace shoal::delta {
namespace {

constexpr size_t kStep = 32;

}  // namespace

LayerIndex::LayerIndex(const Layer& layer) : layer_(layer) {
  marks_.reserve(layer.segments.size() / kStep + 1);
  Place place;
  for (const Segment& segment : layer.segments) {
    if (place.segment % kStep == 0) marks_.push_back(place);
    ++place.segment;
    place.outer += segment.stored;
    place.inner += segment.InnerLength();
  }
  if (marks_.empty()) marks_.push_back(place);
}

uint64_t LayerIndex::Memory(const Layer& layer) {
  return (layer.segments.size() / kStep + 1) * sizeof(Place);
}

// `passed(place)`: the wanted byte lies at or after `place`.
template <typename Passed>
LayerIndex::Place LayerIndex::Find(Passed passed) const {
  auto mark = std::partition_point(marks_.begin(), marks_.end(), passed);
  Place place = *(mark == marks_.begin() ? mark : mark - 1);
  while (place.segment < layer_.segments.size()) {
    const Segment& segment = layer_.segments[place.segment];
    const Place next{place.segment + 1, place.outer + segment.stored,
                     place.inner + segment.InnerLength()};
    if (!passed(next)) break;
    place = next;
  }
  return place;
}

LayerIndex::Place LayerIndex::AtInner(uint64_t inner) const {
  return Find([&](const Place& p) { return p.inner <= inner; });
}

LayerIndex::Place LayerIndex::AtOuter(uint64_t outer) const {
  return Find([&](const Place& p) { return p.outer <= outer; });
}

}  // namespace shoal::delta
