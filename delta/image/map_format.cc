// The serialised form of image maps: docs/delta-image.md.
#include <algorithm>
#include <optional>

#include "common/bytes.h"
#include "common/status.h"
#include "delta/format/format.h"
#include "delta/image/image_map.h"
#include "delta/image/lz4_pieces.h"
#include "delta/image/lz4_sequences.h"

namespace shoal::delta {
namespace {

using Kind = Segment::Kind;

constexpr size_t kSettingSize = 12;

absl::Status Malformed(std::string_view what) {
  return DataLoss("image_map", what);
}

void AppendSetting(std::string& out, const CodecSetting& s) {
  for (const uint8_t byte :
       {static_cast<uint8_t>(s.codec), s.level, s.window, s.memory, s.strategy,
        s.wrapper, s.check, s.filter})
    out.push_back(static_cast<char>(byte));
  AppendBigEndian(out, s.dictionary, 4);
}

absl::StatusOr<uint64_t> Number(std::string_view& bytes, uint64_t most,
                                std::string_view what) {
  const std::optional<uint64_t> value = TakeVarint(bytes);
  if (!value || *value > most) return Malformed(what);
  return *value;
}

absl::StatusOr<CodecSetting> ParseSetting(std::string_view& bytes) {
  if (bytes.size() < kSettingSize) return Malformed("a setting is cut off");
  const auto byte = [&](int i) { return static_cast<uint8_t>(bytes[i]); };
  CodecSetting s{
      .codec = static_cast<ImageCodec>(byte(0)),
      .level = byte(1),
      .window = byte(2),
      .memory = byte(3),
      .strategy = byte(4),
      .wrapper = byte(5),
      .check = byte(6),
      .filter = byte(7),
      .dictionary = static_cast<uint32_t>(ReadBigEndian(bytes.substr(8), 4))};
  SHOAL_RETURN_IF_ERROR(CheckSetting(s));
  bytes.remove_prefix(kSettingSize);
  return s;
}

// One layer, whose outer image must be `outer_size` long.
class LayerParser {
 public:
  LayerParser(std::string_view& bytes, const ImageMap& map, uint64_t outer_size,
              uint64_t old_outer_size)
      : bytes_(bytes),
        map_(map),
        outer_size_(outer_size),
        old_outer_size_(old_outer_size) {}

  // What the layer occupies is taken from `memory`; "image_memory" when it is
  // more.
  absl::StatusOr<Layer> Parse(uint64_t& memory, uint64_t most) {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t count,
                           Number(bytes_, kMaxSegments, "too many segments"));
    if (count > most || count > memory / sizeof(Segment))
      return ResourceExhausted("image_memory", "too many segments");
    // Two bytes a segment at least: nothing is allocated for a mere claim.
    if (count * 2 > bytes_.size()) return Malformed("segments are cut off");
    memory -= count * sizeof(Segment);
    layer_.segments.resize(count);
    SHOAL_RETURN_IF_ERROR(Kinds());
    SHOAL_RETURN_IF_ERROR(StoredLengths());
    SHOAL_RETURN_IF_ERROR(RawLengths());
    SHOAL_RETURN_IF_ERROR(OldPlaces());
    SHOAL_RETURN_IF_ERROR(Pieces(memory));
    return std::move(layer_);
  }

 private:
  absl::Status Kinds() {
    for (Segment& segment : layer_.segments) {
      const auto byte = static_cast<uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      const int kind = byte & 3;
      if (kind > static_cast<int>(Kind::kVerbatim))
        return Malformed("no such kind of segment");
      segment.kind = static_cast<Kind>(kind);
      segment.setting = byte >> 2;
      if (segment.kind == Kind::kBlock ? segment.setting >= map_.settings.size()
                                       : segment.setting != 0)
        return Malformed("no such setting");
    }
    return absl::OkStatus();
  }

  absl::Status StoredLengths() {
    uint64_t left = outer_size_;
    for (Segment& segment : layer_.segments) {
      SHOAL_ASSIGN_OR_RETURN(segment.stored,
                             Number(bytes_, left, "segments are too long"));
      if (segment.stored == 0) return Malformed("an empty segment");
      left -= segment.stored;
    }
    if (left != 0) return Malformed("segments are too short");
    layer_.outer_size = outer_size_;
    return absl::OkStatus();
  }

  absl::Status RawLengths() {
    for (Segment& segment : layer_.segments) {
      if (segment.kind == Kind::kBlock) {
        SHOAL_ASSIGN_OR_RETURN(
            const uint64_t raw,
            Number(bytes_, MaxRawLength(map_.settings[segment.setting]),
                   "a block is too long"));
        if (raw == 0) return Malformed("an empty block");
        if (segment.stored > MaxStoredLength(raw))
          return Malformed("a block is longer than its raw bytes");
        segment.raw = static_cast<uint32_t>(raw);
      }
      layer_.inner_size += segment.InnerLength();
      if (layer_.inner_size > kMaxExpandedSize)
        return Malformed("the expanded image is too long");
    }
    return absl::OkStatus();
  }

  absl::Status OldPlaces() {
    uint64_t next = 0;
    for (Segment& segment : layer_.segments) {
      if (segment.kind != Kind::kVerbatim) continue;
      const std::optional<uint64_t> move = TakeVarint(bytes_);
      if (!move) return Malformed("a verbatim segment is cut off");
      segment.old_place = next + static_cast<uint64_t>(Unzigzag(*move));
      if (segment.stored > old_outer_size_ ||
          segment.old_place > old_outer_size_ - segment.stored)
        return Malformed("a verbatim segment is outside the old image");
      next = segment.old_place + segment.stored;
    }
    return absl::OkStatus();
  }

  absl::Status Pieces(uint64_t& memory) {
    uint64_t blocks = 0;
    for (const Segment& segment : layer_.segments) blocks += InPieces(segment);
    if (blocks == 0) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(
        const uint64_t total,
        Number(bytes_, blocks * kMaxPieces, "too many pieces"));
    // At least a byte each.
    if (total > bytes_.size()) return Malformed("pieces are cut off");
    if (total > memory / sizeof(Piece))
      return ResourceExhausted("image_memory", "too many pieces");
    memory -= total * sizeof(Piece);
    layer_.pieces.reserve(total);
    for (Segment& segment : layer_.segments) {
      if (!InPieces(segment)) continue;
      SHOAL_ASSIGN_OR_RETURN(
          const uint64_t count,
          Number(bytes_,
                 std::min<uint64_t>(kMaxPieces, total - layer_.pieces.size()),
                 "too many pieces"));
      if (count == 0) return Malformed("a block without pieces");
      segment.pieces = static_cast<uint16_t>(count);
      SHOAL_RETURN_IF_ERROR(PiecesOf(segment));
    }
    return layer_.pieces.size() == total ? absl::OkStatus()
                                         : Malformed("too few pieces");
  }

  // The last piece is what is left, and liblz4 makes it: a block ends with
  // literals.
  absl::Status PiecesOf(const Segment& segment) {
    uint64_t left = segment.raw;
    for (int i = 1; i < segment.pieces; ++i) {
      SHOAL_ASSIGN_OR_RETURN(
          const uint64_t number,
          Number(bytes_, 2 * left - 1, "pieces are too long"));
      Piece piece{.raw = static_cast<uint32_t>(number / 2)};
      if (number & 1) {
        if (piece.raw < kLz4MinMatch)
          return Malformed("a sequence is too short");
        SHOAL_ASSIGN_OR_RETURN(
            const uint64_t literals,
            Number(bytes_, piece.raw - kLz4MinMatch, "a sequence is too long"));
        SHOAL_ASSIGN_OR_RETURN(
            const uint64_t distance,
            Number(
                bytes_,
                std::min<uint64_t>(UINT16_MAX, segment.raw - left + literals),
                "a match is outside its block"));
        if (distance == 0) return Malformed("a match with itself");
        piece.literals = static_cast<uint32_t>(literals);
        piece.distance = static_cast<uint16_t>(distance);
      } else if (piece.raw == 0 || piece.raw > kMaxLz4Piece) {
        return Malformed("a piece is too long or empty");
      }
      left -= piece.raw;
      if (left == 0) return Malformed("a block has no last piece");
      layer_.pieces.push_back(piece);
    }
    if (left > kMaxLz4Piece) return Malformed("a piece is too long");
    layer_.pieces.push_back({.raw = static_cast<uint32_t>(left)});
    return absl::OkStatus();
  }

  bool InPieces(const Segment& segment) const {
    return segment.kind == Kind::kBlock &&
           map_.settings[segment.setting].codec == ImageCodec::kLz4HcPieces;
  }

  std::string_view& bytes_;
  const ImageMap& map_;
  const uint64_t outer_size_, old_outer_size_;
  Layer layer_;
};

void AppendPieces(std::string& out, const Layer& layer) {
  if (layer.pieces.empty()) return;
  AppendVarint(out, layer.pieces.size());
  const Piece* piece = layer.pieces.data();
  for (const Segment& segment : layer.segments) {
    if (segment.pieces == 0) continue;
    AppendVarint(out, segment.pieces);
    for (int i = 1; i < segment.pieces; ++i, ++piece) {
      AppendVarint(out, uint64_t{piece->raw} * 2 + piece->IsSequence());
      if (!piece->IsSequence()) continue;
      AppendVarint(out, piece->literals);
      AppendVarint(out, piece->distance);
    }
    ++piece;  // the last one is what is left
  }
}

}  // namespace

std::string SerializeImageMap(const ImageMap& map) {
  std::string out;
  AppendVarint(out, map.image_size);
  AppendVarint(out, map.settings.size());
  for (const CodecSetting& setting : map.settings) AppendSetting(out, setting);
  AppendVarint(out, map.layers.size());
  for (const Layer& layer : map.layers) {
    // By column, which compresses better than by segment.
    AppendVarint(out, layer.segments.size());
    for (const Segment& s : layer.segments)
      out.push_back(
          static_cast<char>(static_cast<int>(s.kind) | s.setting << 2));
    for (const Segment& s : layer.segments) AppendVarint(out, s.stored);
    for (const Segment& s : layer.segments)
      if (s.kind == Kind::kBlock) AppendVarint(out, s.raw);
    uint64_t next = 0;
    for (const Segment& s : layer.segments) {
      if (s.kind != Kind::kVerbatim) continue;
      AppendVarint(out, Zigzag(static_cast<int64_t>(s.old_place - next)));
      next = s.old_place + s.stored;
    }
    AppendPieces(out, layer);
  }
  return out;
}

absl::StatusOr<ImageMap> ParseImageMap(
    std::string_view& bytes, uint64_t max_memory,
    const std::vector<uint64_t>& old_outer_sizes) {
  ImageMap map;
  SHOAL_ASSIGN_OR_RETURN(
      map.image_size, Number(bytes, kMaxExpandedSize, "the image is too long"));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t settings,
                         Number(bytes, kMaxSettings, "too many settings"));
  for (uint64_t i = 0; i < settings; ++i) {
    SHOAL_ASSIGN_OR_RETURN(const CodecSetting setting, ParseSetting(bytes));
    map.settings.push_back(setting);
  }
  SHOAL_ASSIGN_OR_RETURN(const uint64_t layers,
                         Number(bytes, kMaxLayers, "too many layers"));
  uint64_t segments = kMaxSegments;
  for (uint64_t i = 0; i < layers; ++i) {
    const uint64_t outer = map.ExpandedSize();
    const uint64_t old_outer =
        i < old_outer_sizes.size() ? old_outer_sizes[i] : 0;
    SHOAL_ASSIGN_OR_RETURN(
        Layer layer,
        LayerParser(bytes, map, outer, old_outer).Parse(max_memory, segments));
    segments -= layer.segments.size();
    map.layers.push_back(std::move(layer));
  }
  return map;
}

}  // namespace shoal::delta
