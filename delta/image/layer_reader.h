// The inner image of one layer, by position.
#ifndef SHOAL_DELTA_IMAGE_LAYER_READER_H_
#define SHOAL_DELTA_IMAGE_LAYER_READER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "delta/image/block_stream.h"
#include "delta/image/buffer.h"
#include "delta/image/image_map.h"
#include "delta/image/layer_index.h"

namespace shoal::delta {

class LayerReader {
 public:
  // `layer` is one of `map`'s, which outlives the reader; `outer` reads its
  // outer image.
  LayerReader(const ImageMap& map, const Layer& layer, ReadAt outer,
              uint64_t cache);

  // Within inner_size.
  absl::Status Read(uint64_t offset, char* buffer, size_t size);

  static uint64_t Memory(const ImageMap& map, const Layer& layer,
                         uint64_t cache);

 private:
  struct CachedBlock {
    size_t segment = SIZE_MAX;
    uint64_t used = 0;  // when; 0 = never
    Buffer raw;
  };
  struct OpenStream {
    size_t segment = SIZE_MAX;
    uint64_t used = 0;
    std::unique_ptr<BlockStream> stream;
  };

  void Locate(uint64_t offset);
  absl::Status ReadBlock(const Segment& segment, size_t at, char* buffer,
                         size_t size);
  absl::Status ReadStream(const Segment& segment, uint64_t at, char* buffer,
                          size_t size);
  absl::StatusOr<OpenStream*> StreamFor(const Segment& segment, uint64_t at);
  absl::StatusOr<OpenStream*> KeepCopy(OpenStream& open);
  bool IsKept(const OpenStream& open) const;
  OpenStream& LeastWorth(const OpenStream* but);

  const ImageMap& map_;
  const ReadAt outer_;
  LayerIndex index_;
  LayerIndex::Place place_;  // of the segment read last
  uint64_t clock_ = 0;
  BlockCodec codec_;
  Buffer stored_;
  std::vector<CachedBlock> blocks_;
  std::vector<OpenStream> streams_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_LAYER_READER_H_
