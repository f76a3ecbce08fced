#include "delta/image/rebuilder.h"

#include <memory>
#include <utility>
#include <vector>

#include "common/status.h"
#include "delta/image/layer_index.h"
#include "delta/image/layer_rebuilder.h"

namespace shoal::delta {
namespace {

// Starts that make the layers go on at `image_offset` together, and the place
// in the expanded image that they have to be fed from.
struct Starts {
  std::vector<LayerStart> layers;
  uint64_t expanded = 0;
};

// Each layer goes on at the outer place where the one outside it needs inner
// bytes; a block must be made again from its beginning, and what of it is
// there already is thrown away.
Starts StartsAt(const std::vector<LayerIndex>& indexes, uint64_t image_offset) {
  Starts starts;
  uint64_t outer = image_offset;
  for (const LayerIndex& index : indexes) {
    const LayerIndex::Place place = index.AtOuter(outer);
    LayerStart start{.segment = place.segment};
    uint64_t inner = place.inner;
    if (place.segment < index.layer().segments.size()) {
      const Segment& segment = index.layer().segments[place.segment];
      if (segment.kind == Segment::Kind::kBlock) {
        start.discard = outer - place.outer;
      } else {
        start.into = outer - place.outer;
        if (segment.kind == Segment::Kind::kRaw) inner += start.into;
      }
    }
    starts.layers.push_back(start);
    outer = inner;
  }
  starts.expanded = outer;
  return starts;
}

}  // namespace

uint64_t RebuilderMemory(const ImageMap& map) {
  uint64_t bytes = 0;
  for (const Layer& layer : map.layers)
    bytes += LayerRebuilder::Memory(map, layer) + LayerIndex::Memory(layer);
  return bytes;
}

class Rebuilder::Impl {
 public:
  Impl(const ImageMap& map, RebuilderOptions options)
      : map_(map), options_(std::move(options)) {
    for (const Layer& layer : map.layers) indexes_.emplace_back(layer);
  }

  absl::Status Start() {
    if (options_.resume_at > map_.image_size)
      return FailedPrecondition("bad_resume", "beyond the image");
    const Starts starts = StartsAt(indexes_, options_.resume_at);
    if (!starts.layers.empty() && starts.layers[0].discard != 0)
      return FailedPrecondition("bad_resume", "in the middle of a block");
    for (size_t i = 0; i < map_.layers.size(); ++i) {
      layers_.push_back(std::make_unique<LayerRebuilder>(
          map_, map_.layers[i], starts.layers[i],
          [this, i](uint64_t offset, char* buffer, size_t size) {
            if (options_.old_image == nullptr)
              return FailedPrecondition("image_read", "there is no old image");
            return options_.old_image->ReadOuter(i, offset, buffer, size);
          },
          [this, i](std::string_view outer) {
            return i == 0 ? options_.write(outer)
                          : layers_[i - 1]->Write(outer);
          }));
    }
    plain_ = options_.resume_at;
    return absl::OkStatus();
  }

  absl::Status Write(std::string_view expanded) {
    if (!layers_.empty()) return layers_.back()->Write(expanded);
    if (expanded.size() > map_.image_size - plain_)
      return InvalidArgument("image_write", "more bytes than the image has");
    SHOAL_RETURN_IF_ERROR(options_.write(expanded));
    plain_ += expanded.size();
    return absl::OkStatus();
  }

  absl::Status Finish() {
    for (size_t i = layers_.size(); i-- > 0;)
      SHOAL_RETURN_IF_ERROR(layers_[i]->Finish());
    if (layers_.empty() && plain_ != map_.image_size)
      return InvalidArgument("image_write", "the expanded image is cut off");
    return absl::OkStatus();
  }

  RebuildPoint point() const {
    const uint64_t at = layers_.empty() ? plain_ : layers_[0]->done();
    return {at, StartsAt(indexes_, at).expanded};
  }

 private:
  const ImageMap& map_;
  const RebuilderOptions options_;
  std::vector<LayerIndex> indexes_;
  std::vector<std::unique_ptr<LayerRebuilder>> layers_;
  uint64_t plain_ = 0;  // bytes written, without layers
};

Rebuilder::Rebuilder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Rebuilder::~Rebuilder() = default;

absl::StatusOr<std::unique_ptr<Rebuilder>> Rebuilder::Create(
    const ImageMap& map, RebuilderOptions options) {
  auto impl = std::make_unique<Impl>(map, std::move(options));
  SHOAL_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<Rebuilder>(new Rebuilder(std::move(impl)));
}

absl::Status Rebuilder::Write(std::string_view expanded) {
  return impl_->Write(expanded);
}

absl::Status Rebuilder::Finish() { return impl_->Finish(); }

RebuildPoint Rebuilder::point() const { return impl_->point(); }

}  // namespace shoal::delta
