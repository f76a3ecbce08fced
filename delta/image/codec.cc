#include "delta/image/codec.h"

#include <fmt/format.h>
#include <lz4.h>
#include <lz4hc.h>
#include <lzma.h>
// For the estimate of a context's size only.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <algorithm>

#include "common/status.h"
#include "delta/image/lz4_pieces.h"
#include "delta/image/xz_filters.h"

namespace shoal::delta {
namespace {

bool InRange(int value, int low, int high) {
  return value >= low && value <= high;
}

bool IsValid(const CodecSetting& s) {
  // Numbers that the codec does not use must be 0, so that equal settings are
  // equal bytes.
  CodecSetting used{.codec = s.codec};
  switch (s.codec) {
    case ImageCodec::kDeflate:
      used.level = s.level;
      used.window = s.window;
      used.memory = s.memory;
      used.strategy = s.strategy;
      used.wrapper = s.wrapper;
      return s == used && InRange(s.level, 1, 9) && InRange(s.window, 9, 15) &&
             InRange(s.memory, 1, 9) && s.strategy <= 4 && s.wrapper <= 1;
    case ImageCodec::kXz:
      used.level = s.level;
      used.wrapper = s.wrapper;
      used.check = s.check;
      used.filter = s.filter;
      used.dictionary = s.dictionary;
      return s == used && (s.level & ~16) <= 9 && s.wrapper <= 1 &&
             (s.check <= 1 || s.check == 4 || s.check == 10) &&
             (s.filter == 0 || InRange(s.filter, 4, 9)) &&
             s.dictionary >= 4096 && s.dictionary <= kMaxXzDictionary;
    case ImageCodec::kZstd:
      used.level = s.level;
      used.check = s.check;
      return s == used && InRange(s.level, 1, 22) && s.check <= 1;
    case ImageCodec::kLz4:
      return s == used;
    case ImageCodec::kLz4Hc:
    case ImageCodec::kLz4HcPieces:
      used.level = s.level;
      return s == used && InRange(s.level, 3, 12);
  }
  return false;
}

// zconf.h's formula, and what a state holds beside it.
uint64_t DeflateState(const CodecSetting& s) {
  return (uint64_t{1} << (s.window + 2)) + (uint64_t{1} << (s.memory + 9)) +
         8192;
}

uint64_t Lz4Bound(uint64_t raw) {
  return static_cast<uint64_t>(LZ4_compressBound(static_cast<int>(raw)));
}

}  // namespace

uint32_t MaxRawLength(const CodecSetting& setting) {
  switch (setting.codec) {
    case ImageCodec::kDeflate:
      return kMaxStreamedBlock;
    case ImageCodec::kLz4:
    case ImageCodec::kLz4Hc:
    case ImageCodec::kLz4HcPieces:
      return kMaxLz4Block;
    case ImageCodec::kXz:
    case ImageCodec::kZstd:
      return kMaxBufferedBlock;
  }
  return 0;
}

absl::Status CheckSetting(const CodecSetting& setting) {
  if (IsValid(setting)) return absl::OkStatus();
  return DataLoss("image_map", "no such codec setting");
}

std::string Describe(const CodecSetting& s) {
  switch (s.codec) {
    case ImageCodec::kDeflate:
      return fmt::format(
          "deflate level {}, window {}, memory {}, strategy {}{}", s.level,
          s.window, s.memory, s.strategy, s.wrapper ? ", zlib wrapper" : "");
    case ImageCodec::kXz:
      return fmt::format(
          "xz preset {}{}, dictionary {}, check {}, filter {}, {}",
          s.level & ~16, s.level & 16 ? "e" : "", s.dictionary, s.check,
          s.filter, s.wrapper ? "streamed" : "one call");
    case ImageCodec::kZstd:
      return fmt::format("zstd level {}{}", s.level,
                         s.check ? ", checksum" : "");
    case ImageCodec::kLz4:
      return "lz4";
    case ImageCodec::kLz4Hc:
      return fmt::format("lz4hc level {}", s.level);
    case ImageCodec::kLz4HcPieces:
      return fmt::format("lz4hc level {}, in pieces", s.level);
  }
  return "unknown";
}

void CodecMemory::RaiseTo(const CodecMemory& other) {
  state = std::max(state, other.state);
  raw = std::max(raw, other.raw);
  stored = std::max(stored, other.stored);
}

CodecMemory WholeBlockMemory(const CodecSetting& s, uint32_t raw_length) {
  const uint64_t raw = raw_length;
  const uint64_t stored = MaxStoredLength(raw) + 64;
  switch (s.codec) {
    case ImageCodec::kDeflate:
      return {DeflateState(s), raw, stored};
    case ImageCodec::kXz: {
      XzFilters filters;
      if (!filters.Set(s)) return {UINT64_MAX / 4, 0, 0};
      return {lzma_raw_encoder_memusage(filters.chain) + 65536, raw, stored};
    }
    case ImageCodec::kZstd:
      return {
          ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(s.level, raw, 0)) +
              4096,
          raw, ZSTD_compressBound(raw)};
    case ImageCodec::kLz4:
      return {static_cast<uint64_t>(LZ4_sizeofState()), raw, Lz4Bound(raw)};
    case ImageCodec::kLz4Hc:
    case ImageCodec::kLz4HcPieces:
      return {Lz4HcState(s.level), raw, Lz4Bound(raw)};
  }
  return {UINT64_MAX / 4, 0, 0};
}

uint64_t CompressMemory(const CodecSetting& s, uint32_t raw_length) {
  if (s.codec == ImageCodec::kLz4HcPieces)
    return Lz4PiecesMemory(s.level, std::min(raw_length, kMaxLz4Piece));
  if (s.codec == ImageCodec::kDeflate && raw_length > kMaxBufferedBlock)
    return DeflateState(s) + 2 * kStreamChunk;
  return WholeBlockMemory(s, raw_length).total();
}

uint64_t ExpandMemory(const CodecSetting& s) {
  switch (s.codec) {
    case ImageCodec::kDeflate:
      return 48u << 10;  // zconf.h: 32 KiB and about 7 KiB of state
    case ImageCodec::kXz:
      return s.dictionary + kXzDecoderState;
    case ImageCodec::kZstd:
      return ZSTD_estimateDCtxSize();
    case ImageCodec::kLz4:
    case ImageCodec::kLz4Hc:
    case ImageCodec::kLz4HcPieces:
      return 0;
  }
  return 0;
}

}  // namespace shoal::delta
