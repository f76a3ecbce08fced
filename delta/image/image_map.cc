#include "delta/image/image_map.h"

namespace shoal::delta {

void AppendSegment(Layer& layer, const Segment& segment) {
  using Kind = Segment::Kind;
  layer.outer_size += segment.stored;
  layer.inner_size += segment.InnerLength();
  if (!layer.segments.empty()) {
    Segment& last = layer.segments.back();
    const bool raw = segment.kind == Kind::kRaw && last.kind == Kind::kRaw;
    const bool verbatim = segment.kind == Kind::kVerbatim &&
                          last.kind == Kind::kVerbatim &&
                          last.old_place + last.stored == segment.old_place;
    if (raw || verbatim) {
      last.stored += segment.stored;
      return;
    }
  }
  layer.segments.push_back(segment);
}

std::vector<uint64_t> OuterSizes(const ImageMap& map) {
  std::vector<uint64_t> sizes;
  for (const Layer& layer : map.layers) sizes.push_back(layer.outer_size);
  return sizes;
}

uint64_t MemoryOf(const ImageMap& map) {
  uint64_t bytes = map.settings.capacity() * sizeof(CodecSetting) +
                   map.layers.capacity() * sizeof(Layer);
  for (const Layer& layer : map.layers)
    bytes += layer.segments.capacity() * sizeof(Segment) +
             layer.pieces.capacity() * sizeof(Piece);
  return bytes;
}

}  // namespace shoal::delta
