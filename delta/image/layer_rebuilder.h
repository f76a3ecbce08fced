// One layer's way back: takes its inner image in order, gives its outer one.
#ifndef SHOAL_DELTA_IMAGE_LAYER_REBUILDER_H_
#define SHOAL_DELTA_IMAGE_LAYER_REBUILDER_H_

#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "delta/image/block_stream.h"
#include "delta/image/buffer.h"
#include "delta/image/deflate_stream.h"
#include "delta/image/image_map.h"
#include "delta/image/lz4_pieces.h"

namespace shoal::delta {

// Where a layer's rebuilding starts.
struct LayerStart {
  size_t segment = 0;
  uint64_t into = 0;     // outer bytes of that segment that are done already;
                         // not in a block
  uint64_t discard = 0;  // outer bytes to make again and throw away
  bool operator==(const LayerStart&) const = default;
};

class LayerRebuilder {
 public:
  using Sink = std::function<absl::Status(std::string_view)>;

  // `map` and `layer`, one of its layers, must outlive it. `read_old` reads
  // the old image's outer bytes of this layer (verbatim segments).
  LayerRebuilder(const ImageMap& map, const Layer& layer,
                 const LayerStart& start, ReadAt read_old, Sink sink);

  // "image_write" when there are more bytes than the layer has.
  absl::Status Write(std::string_view inner);
  // "image_write" when bytes are missing.
  absl::Status Finish();

  // Outer bytes given to the sink or before the start, up to the last place
  // that is no middle of a block.
  uint64_t done() const { return done_; }

  static uint64_t Memory(const ImageMap& map, const Layer& layer);

 private:
  bool AtEnd() const { return segment_ == layer_.segments.size(); }
  bool IsStreamed(const Segment& segment) const;
  bool IsInPieces(const Segment& segment) const;
  absl::Status WritePieces(const Segment& segment, std::string_view inner);
  absl::Status EmitOf(const Segment& segment, std::string_view stored);
  absl::Status CopyVerbatim();
  absl::Status WriteRaw(const Segment& segment, std::string_view inner);
  absl::Status WriteBlock(const Segment& segment, std::string_view inner);
  absl::Status FinishBlock(const Segment& segment);
  absl::Status Emit(std::string_view outer);
  void NextSegment();

  const ImageMap& map_;
  const Layer& layer_;
  const ReadAt read_old_;
  const Sink sink_;
  size_t segment_;
  size_t piece_ = 0;  // the first one of the segment
  uint64_t into_;     // inner bytes of the segment that are done
  uint64_t discard_;
  uint64_t done_ = 0;
  uint64_t streamed_ = 0;  // stored bytes of a block made in passing so far
  char* room_ = nullptr;   // for the raw bytes of the block at hand
  BlockCodec codec_;
  DeflateStream deflate_;
  Lz4Pieces lz4_;
  Buffer copy_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_LAYER_REBUILDER_H_
