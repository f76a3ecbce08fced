#include "delta/image/layer_rebuilder.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "common/status.h"
#include "delta/image/layer_index.h"

namespace shoal::delta {
namespace {

using Kind = Segment::Kind;

constexpr size_t kCopySize = 64u << 10;

}  // namespace

LayerRebuilder::LayerRebuilder(const ImageMap& map, const Layer& layer,
                               const LayerStart& start, ReadAt read_old,
                               Sink sink)
    : map_(map),
      layer_(layer),
      read_old_(std::move(read_old)),
      sink_(std::move(sink)),
      segment_(start.segment),
      into_(start.into),
      discard_(start.discard) {
  for (size_t i = 0; i < segment_; ++i) {
    done_ += layer.segments[i].stored;
    piece_ += layer.segments[i].pieces;
  }
  done_ += into_;
}

uint64_t LayerRebuilder::Memory(const ImageMap& map, const Layer& layer) {
  // What each way of compressing keeps, and all of them may be in use.
  CodecMemory whole;
  uint64_t streamed = 0, in_pieces = 0, copy = 0;
  std::span<const Piece> pieces(layer.pieces);
  for (const Segment& segment : layer.segments) {
    if (segment.kind == Kind::kVerbatim) copy = kCopySize;
    if (segment.kind != Kind::kBlock) continue;
    const CodecSetting& setting = map.settings[segment.setting];
    if (segment.pieces > 0) {
      in_pieces =
          std::max(in_pieces,
                   Lz4PiecesMemory(setting.level,
                                   LongestPiece(pieces.first(segment.pieces))));
      pieces = pieces.subspan(segment.pieces);
    } else if (setting.codec == ImageCodec::kDeflate &&
               segment.raw > kMaxBufferedBlock) {
      streamed = std::max(streamed, CompressMemory(setting, segment.raw));
    } else {
      whole.RaiseTo(WholeBlockMemory(setting, segment.raw));
    }
  }
  return whole.total() + streamed + in_pieces + copy;
}

bool LayerRebuilder::IsStreamed(const Segment& segment) const {
  return segment.raw > kMaxBufferedBlock &&
         map_.settings[segment.setting].codec == ImageCodec::kDeflate;
}

bool LayerRebuilder::IsInPieces(const Segment& segment) const {
  return map_.settings[segment.setting].codec == ImageCodec::kLz4HcPieces;
}

absl::Status LayerRebuilder::Write(std::string_view inner) {
  for (;;) {
    SHOAL_RETURN_IF_ERROR(CopyVerbatim());
    if (inner.empty()) return absl::OkStatus();
    if (AtEnd())
      return InvalidArgument("image_write", "more bytes than the image has");
    const Segment& segment = layer_.segments[segment_];
    const size_t n =
        std::min<uint64_t>(inner.size(), segment.InnerLength() - into_);
    SHOAL_RETURN_IF_ERROR(segment.kind == Kind::kRaw
                              ? WriteRaw(segment, inner.substr(0, n))
                              : WriteBlock(segment, inner.substr(0, n)));
    inner.remove_prefix(n);
  }
}

absl::Status LayerRebuilder::Finish() {
  SHOAL_RETURN_IF_ERROR(CopyVerbatim());
  if (!AtEnd())
    return InvalidArgument("image_write", "the expanded image is cut off");
  return absl::OkStatus();
}

void LayerRebuilder::NextSegment() {
  piece_ += layer_.segments[segment_].pieces;
  ++segment_;
  into_ = 0;
}

absl::Status LayerRebuilder::CopyVerbatim() {
  while (!AtEnd() && layer_.segments[segment_].kind == Kind::kVerbatim) {
    const Segment& segment = layer_.segments[segment_];
    SHOAL_RETURN_IF_ERROR(copy_.Reserve(kCopySize));
    while (into_ < segment.stored) {
      const size_t n = std::min<uint64_t>(kCopySize, segment.stored - into_);
      SHOAL_RETURN_IF_ERROR(
          read_old_(segment.old_place + into_, copy_.data(), n));
      SHOAL_RETURN_IF_ERROR(Emit({copy_.data(), n}));
      into_ += n;
      done_ += n;
    }
    NextSegment();
  }
  return absl::OkStatus();
}

absl::Status LayerRebuilder::WriteRaw(const Segment& segment,
                                      std::string_view inner) {
  SHOAL_RETURN_IF_ERROR(Emit(inner));
  into_ += inner.size();
  done_ += inner.size();
  if (into_ == segment.stored) NextSegment();
  return absl::OkStatus();
}

absl::Status LayerRebuilder::WriteBlock(const Segment& segment,
                                        std::string_view inner) {
  const CodecSetting& setting = map_.settings[segment.setting];
  if (into_ == 0) streamed_ = 0;
  if (IsInPieces(segment)) {
    SHOAL_RETURN_IF_ERROR(WritePieces(segment, inner));
  } else if (IsStreamed(segment)) {
    if (into_ == 0) SHOAL_RETURN_IF_ERROR(deflate_.Begin(setting));
    SHOAL_RETURN_IF_ERROR(deflate_.Write(inner, [&](std::string_view stored) {
      return EmitOf(segment, stored);
    }));
  } else {
    if (into_ == 0) {
      SHOAL_ASSIGN_OR_RETURN(room_, codec_.Prepare(setting, segment.raw));
    }
    memcpy(room_ + into_, inner.data(), inner.size());
  }
  into_ += inner.size();
  return into_ == segment.raw ? FinishBlock(segment) : absl::OkStatus();
}

absl::Status LayerRebuilder::WritePieces(const Segment& segment,
                                         std::string_view inner) {
  if (into_ == 0)
    SHOAL_RETURN_IF_ERROR(lz4_.Begin(
        map_.settings[segment.setting].level,
        std::span(layer_.pieces).subspan(piece_, segment.pieces), segment.raw));
  return lz4_.Write(
      inner, [&](std::string_view stored) { return EmitOf(segment, stored); });
}

absl::Status LayerRebuilder::FinishBlock(const Segment& segment) {
  if (IsStreamed(segment)) {
    SHOAL_RETURN_IF_ERROR(deflate_.Finish(
        [&](std::string_view stored) { return EmitOf(segment, stored); }));
  } else if (!IsInPieces(segment)) {
    SHOAL_ASSIGN_OR_RETURN(const std::string_view stored,
                           codec_.Compress(segment.stored));
    if (stored.size() == segment.stored)
      SHOAL_RETURN_IF_ERROR(EmitOf(segment, stored));
  }
  if (streamed_ != segment.stored)
    return DataLoss("image_block", "a block got shorter than it was");
  done_ += segment.stored;
  NextSegment();
  return absl::OkStatus();
}

// Bytes of a compressed block.
absl::Status LayerRebuilder::EmitOf(const Segment& segment,
                                    std::string_view stored) {
  streamed_ += stored.size();
  if (streamed_ > segment.stored)
    return DataLoss("image_block", "a block got longer than it was");
  return Emit(stored);
}

absl::Status LayerRebuilder::Emit(std::string_view outer) {
  const size_t n = std::min<uint64_t>(discard_, outer.size());
  discard_ -= n;
  outer.remove_prefix(n);
  return outer.empty() ? absl::OkStatus() : sink_(outer);
}

}  // namespace shoal::delta
