#include "delta/image/codec.h"

#include <fmt/format.h>
#include <lz4.h>
#include <lz4hc.h>
#include <lzma.h>
// For the estimate of a context's size only.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "common/status.h"
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
      used.level = s.level;
      return s == used && InRange(s.level, 3, 12);
  }
  return false;
}

}  // namespace

uint32_t MaxRawLength(const CodecSetting& setting) {
  switch (setting.codec) {
    case ImageCodec::kDeflate:
      return kMaxStreamedBlock;
    case ImageCodec::kLz4:
    case ImageCodec::kLz4Hc:
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
  }
  return "unknown";
}

uint64_t CompressMemory(const CodecSetting& s, uint32_t raw_length) {
  const uint64_t raw = raw_length;
  const uint64_t both = raw + MaxStoredLength(raw) + 64;
  switch (s.codec) {
    case ImageCodec::kDeflate: {
      // zconf.h's formula, and what a state holds beside it.
      const uint64_t state = (uint64_t{1} << (s.window + 2)) +
                             (uint64_t{1} << (s.memory + 9)) + 8192;
      return state + (raw > kMaxBufferedBlock ? kStreamChunk * 2 : both);
    }
    case ImageCodec::kXz: {
      XzFilters filters;
      if (!filters.Set(s)) return UINT64_MAX;
      return lzma_raw_encoder_memusage(filters.chain) + both + 65536;
    }
    case ImageCodec::kZstd:
      return ZSTD_estimateCCtxSize_usingCParams(
                 ZSTD_getCParams(s.level, raw, 0)) +
             raw + ZSTD_compressBound(raw) + 4096;
    case ImageCodec::kLz4:
      return LZ4_sizeofState() + raw + LZ4_compressBound(static_cast<int>(raw));
    case ImageCodec::kLz4Hc:
      return LZ4_sizeofStateHC() + raw + Lz4InPlaceMargin(raw_length);
  }
  return UINT64_MAX;
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
      return 0;
  }
  return 0;
}

}  // namespace shoal::delta
