#include "delta/image/analyze/settings.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/status.h"
#include "delta/image/block_stream.h"
#include "delta/image/deflate_stream.h"

namespace shoal::delta {
namespace {

constexpr size_t kPiece = 64u << 10;

// Every setting that differs from `first` in what is cheap to vary.
std::vector<CodecSetting> OthersLike(const CodecSetting& first) {
  std::vector<CodecSetting> settings;
  CodecSetting s = first;
  switch (first.codec) {
    case ImageCodec::kDeflate:
      for (const uint8_t level : {9, 6, 1, 5, 8, 7, 4, 3, 2}) {
        for (const uint8_t memory : {8, 9}) {
          s.level = level;
          s.memory = memory;
          settings.push_back(s);
        }
      }
      break;
    case ImageCodec::kXz:
      for (const int level : {6, 9, 6 + 16, 9 + 16, 5, 4, 8, 7, 3, 2, 1, 0}) {
        s.level = static_cast<uint8_t>(level);
        settings.push_back(s);
      }
      break;
    case ImageCodec::kZstd:
      for (const uint8_t level : {3, 19, 15, 22, 9, 1,  6,  12, 18, 20, 21,
                                  2, 4,  5,  7,  8, 10, 11, 13, 14, 16, 17}) {
        s.level = level;
        settings.push_back(s);
      }
      break;
    case ImageCodec::kLz4HcPieces:
      for (const uint8_t level : {9, 12, 10, 11, 3, 4, 5, 6, 7, 8})
        settings.push_back({.codec = first.codec, .level = level});
      settings.push_back({.codec = ImageCodec::kLz4});
      break;
    case ImageCodec::kLz4:
    case ImageCodec::kLz4Hc:
      settings.push_back({.codec = ImageCodec::kLz4});
      for (const uint8_t level : {9, 12, 10, 11, 3, 4, 5, 6, 7, 8})
        settings.push_back({.codec = ImageCodec::kLz4Hc, .level = level});
      break;
  }
  return settings;
}

// Compares what arrives with a block's stored bytes.
class Comparison {
 public:
  Comparison(const Source& source, const Candidate& block)
      : source_(source), next_(block.offset), left_(block.stored) {}

  absl::Status Take(std::string_view bytes) {
    if (bytes.size() > left_) return NotThere();
    SHOAL_ASSIGN_OR_RETURN(const std::string wanted,
                           source_.Bytes(next_, bytes.size()));
    next_ += bytes.size();
    left_ -= bytes.size();
    return wanted == bytes ? absl::OkStatus() : NotThere();
  }
  bool complete() const { return left_ == 0; }

 private:
  const Source& source_;
  uint64_t next_, left_;
};

absl::Status CompressAndCompare(const CodecSetting& setting,
                                const Source& source, const Candidate& block,
                                uint32_t raw) {
  SHOAL_ASSIGN_OR_RETURN(
      const auto stream,
      BlockStream::Open(setting, source.read, block.offset, block.stored, raw));
  Comparison comparison(source, block);
  const auto sink = [&](std::string_view bytes) {
    return comparison.Take(bytes);
  };
  DeflateStream deflate;
  SHOAL_RETURN_IF_ERROR(deflate.Begin(setting));
  std::string piece(kPiece, '\0');
  for (uint64_t left = raw; left > 0;) {
    const size_t n = std::min<uint64_t>(left, kPiece);
    SHOAL_RETURN_IF_ERROR(stream->Read(piece.data(), n));
    SHOAL_RETURN_IF_ERROR(deflate.Write({piece.data(), n}, sink));
    left -= n;
  }
  SHOAL_RETURN_IF_ERROR(stream->CheckEnd());
  SHOAL_RETURN_IF_ERROR(deflate.Finish(sink));
  return comparison.complete() ? absl::OkStatus() : NotThere();
}

}  // namespace

bool Reproduces(BlockCodec& codec, const CodecSetting& setting,
                std::string_view raw, std::string_view stored) {
  if (raw.size() > MaxRawLength(setting)) return false;
  const auto room = codec.Prepare(setting, raw.size());
  if (!room.ok()) return false;
  memcpy(*room, raw.data(), raw.size());
  const auto made = codec.Compress(stored.size());
  return made.ok() && *made == stored;
}

absl::StatusOr<bool> ReproducesLong(const CodecSetting& setting,
                                    const Source& source,
                                    const Candidate& block, uint32_t raw) {
  const absl::Status status = CompressAndCompare(setting, source, block, raw);
  if (status.ok()) return true;
  if (IsNotThere(status) || ReasonOf(status) == "image_block") return false;
  return status;
}

std::vector<CodecSetting> SettingsToTry(const Family& family) {
  std::vector<CodecSetting> order = family.likely;
  for (const CodecSetting& setting : OthersLike(family.likely[0]))
    if (std::find(order.begin(), order.end(), setting) == order.end())
      order.push_back(setting);
  return order;
}

}  // namespace shoal::delta
