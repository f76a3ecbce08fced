// The image map: what of an image is a compressed block and what is not.
//
// A layer is a list of consecutive segments that cover its outer bytes: raw
// ones (the same outside and inside), compressed blocks (inside: the expanded
// bytes) and, in the map of a new image only, verbatim ones: outer bytes that
// stand in the old image as they are and that are nothing inside. What the
// segments are inside, one after the other, is the layer's inner image. It may
// hold compressed blocks itself, which the next layer describes: layer 0's
// outer image is the image, the last layer's inner image is the **expanded
// image**. Without layers the two are the same.
//
//   image  ── layer 0 ──▶  inner image = outer of layer 1  ──▶ … expanded
//
// Serialised byte-exactly by docs/delta-image.md. Bytes of a map are
// untrusted: every length, sum, count and setting is checked by ParseImageMap
// before memory is taken for it. Reasons of errors: "image_map" (malformed),
// "image_memory" (more segments than the caller grants memory for),
// "codec_differs" (a device whose library would write other bytes).
#ifndef SHOAL_DELTA_IMAGE_IMAGE_MAP_H_
#define SHOAL_DELTA_IMAGE_IMAGE_MAP_H_

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "delta/image/codec.h"

namespace shoal::delta {

inline constexpr int kMaxLayers = 3;
inline constexpr size_t kMaxSettings = 64;
inline constexpr size_t kMaxSegments = 1u << 20;  // of all layers together
inline constexpr uint64_t kMaxExpandedSize = uint64_t{1} << 40;  // bytes

// A part of a block of codec kLz4HcPieces (see lz4_pieces.h): bytes that liblz4
// compresses, or one sequence that is written as the map says it.
struct Piece {
  uint32_t raw = 0;       // expanded length, ≥ 1
  uint32_t literals = 0;  // of the sequence; its match is the rest of `raw`
  uint16_t distance = 0;  // of the match; 0: liblz4 compresses the piece

  bool IsSequence() const { return distance != 0; }
  bool operator==(const Piece&) const = default;
};
// Of one block.
inline constexpr size_t kMaxPieces = 1024;

struct Segment {
  enum class Kind : uint8_t { kRaw = 0, kBlock = 1, kVerbatim = 2 };

  Kind kind = Kind::kRaw;
  uint8_t setting = 0;     // kBlock: index in ImageMap::settings
  uint16_t pieces = 0;     // kBlock of codec kLz4HcPieces: how many, ≥ 1
  uint32_t raw = 0;        // kBlock: expanded length, ≥ 1
  uint64_t stored = 0;     // outer length, ≥ 1
  uint64_t old_place = 0;  // kVerbatim: offset in the old layer's outer image

  uint64_t InnerLength() const {
    return kind == Kind::kRaw ? stored : kind == Kind::kBlock ? raw : 0;
  }
  bool operator==(const Segment&) const = default;
};

struct Layer {
  std::vector<Segment> segments;
  std::vector<Piece> pieces;  // of all segments, in order
  uint64_t outer_size = 0;    // sum of stored
  uint64_t inner_size = 0;    // sum of InnerLength()
  bool operator==(const Layer&) const = default;
};

struct ImageMap {
  std::vector<CodecSetting> settings;
  std::vector<Layer> layers;  // outermost first
  uint64_t image_size = 0;    // bytes

  uint64_t ExpandedSize() const {
    return layers.empty() ? image_size : layers.back().inner_size;
  }
  bool operator==(const ImageMap&) const = default;
};

// Adds `segment`, joined with the last one where both are raw, or both
// verbatim and adjacent in the old image.
void AppendSegment(Layer& layer, const Segment& segment);

// Compact bytes of a map; not compressed (compress maps of one patch together:
// lengths of blocks repeat between old and new). kMaxSegments must hold.
std::string SerializeImageMap(const ImageMap& map);

// Takes one map off the front of `bytes`. `max_memory` bounds the bytes that
// the result occupies. `old_outer_sizes` are the outer sizes of the old map's
// layers, which verbatim segments point into; empty for an old map, which may
// not have any.
absl::StatusOr<ImageMap> ParseImageMap(
    std::string_view& bytes, uint64_t max_memory,
    const std::vector<uint64_t>& old_outer_sizes = {});

std::vector<uint64_t> OuterSizes(const ImageMap& map);
uint64_t MemoryOf(const ImageMap& map);  // bytes held by its vectors

// What a device must have to compress the map's blocks: per codec in use the
// library's name and version, per setting a fingerprint of what it makes of a
// fixed sample. Compact bytes for the patch, after the new image's map.
absl::StatusOr<std::string> DescribeCodecs(const ImageMap& map);

// Bytes that DescribeCodecs and CheckCodecs take at most, beside the map: the
// sample is compressed with each setting, also one that no segment uses.
uint64_t CheckCodecsMemory(const ImageMap& map);

// Takes such a description off the front of `bytes` and compares it with this
// machine. "codec_differs" names the first difference; call before writing.
absl::Status CheckCodecs(const ImageMap& map, std::string_view& bytes);

// "zlib 1.2.13", "liblzma 5.4.1", "zstd 1.5.4", "lz4 1.9.4",
// "lz4 1.9.4 (64 bit)".
std::string LibraryOf(ImageCodec codec);
// Of the map's settings: what DescribeCodecs names.
std::set<std::string> LibrariesOf(const ImageMap& map);
// Of all codecs, as they are on this machine.
std::set<std::string> CodecLibraries();

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_IMAGE_MAP_H_
