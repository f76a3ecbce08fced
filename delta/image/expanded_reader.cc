#include "delta/image/expanded_reader.h"

#include <memory>
#include <utility>
#include <vector>

#include "common/status.h"
#include "delta/image/layer_reader.h"

namespace shoal::delta {

uint64_t ExpandedReaderMemory(const ImageMap& map, uint64_t cache) {
  uint64_t bytes = 0;
  for (const Layer& layer : map.layers)
    bytes += LayerReader::Memory(map, layer, cache);
  return bytes;
}

class ExpandedReader::Impl {
 public:
  Impl(const ImageMap& map, ReadAt read_image, uint64_t cache)
      : map_(map), read_image_(std::move(read_image)) {
    for (size_t i = 0; i < map.layers.size(); ++i) {
      layers_.push_back(std::make_unique<LayerReader>(
          map, map.layers[i],
          [this, i](uint64_t offset, char* buffer, size_t size) {
            return ReadOuter(i, offset, buffer, size);
          },
          cache));
    }
  }

  absl::Status ReadOuter(size_t layer, uint64_t offset, char* buffer,
                         size_t size) {
    if (layer > layers_.size())
      return InvalidArgument("image_read", "the image has fewer layers");
    const uint64_t length =
        layer == 0 ? map_.image_size : map_.layers[layer - 1].inner_size;
    if (offset > length || size > length - offset)
      return InvalidArgument("image_read", "beyond the expanded image");
    return layer == 0 ? read_image_(offset, buffer, size)
                      : layers_[layer - 1]->Read(offset, buffer, size);
  }

  const ImageMap& map() const { return map_; }

 private:
  const ImageMap& map_;
  const ReadAt read_image_;
  std::vector<std::unique_ptr<LayerReader>> layers_;
};

ExpandedReader::ExpandedReader(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}
ExpandedReader::~ExpandedReader() = default;

absl::StatusOr<std::unique_ptr<ExpandedReader>> ExpandedReader::Create(
    const ImageMap& map, ReadAt read_image, uint64_t cache) {
  return std::unique_ptr<ExpandedReader>(new ExpandedReader(
      std::make_unique<Impl>(map, std::move(read_image), cache)));
}

uint64_t ExpandedReader::size() const { return impl_->map().ExpandedSize(); }

absl::Status ExpandedReader::Read(uint64_t offset, char* buffer, size_t size) {
  return impl_->ReadOuter(impl_->map().layers.size(), offset, buffer, size);
}

absl::Status ExpandedReader::ReadOuter(size_t layer, uint64_t offset,
                                       char* buffer, size_t size) {
  return impl_->ReadOuter(layer, offset, buffer, size);
}

}  // namespace shoal::delta
