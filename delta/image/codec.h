// One compressed block: expanding it, and compressing it again to the very
// same bytes. A block's setting names everything that decides about those
// bytes: codec, parameters, and (see codec_identity.h) the library's version.
//
// Codecs and who writes such blocks:
//   kDeflate  squashfs "gzip" (zlib wrapper), gzip and zip members (raw);
//             zlib's deflate. RFC 1950, 1951
//   kXz       squashfs "xz": one .xz stream with one block whose header holds
//             both sizes, as lzma_stream_buffer_encode writes it
//   kZstd     squashfs "zstd", one-call zstd frames. RFC 8878
//   kLz4      squashfs "lz4": LZ4_compress_default. Bare LZ4 block format
//   kLz4Hc    squashfs "lz4 -Xhc", Linux kernels (LZ4 legacy frames)
//
// Errors: "image_block" (damaged, or its length is not the expected one),
// "image_memory" (an allocation failed). Nothing throws. Thread-compatible.
#ifndef SHOAL_DELTA_IMAGE_CODEC_H_
#define SHOAL_DELTA_IMAGE_CODEC_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal::delta {

enum class Codec : uint8_t {
  kDeflate = 1,
  kXz = 2,
  kZstd = 3,
  kLz4 = 4,
  kLz4Hc = 5,
};
inline constexpr int kCodecs = 5;

// Meaning of the numbers by codec; those that a codec does not use are 0.
//   kDeflate  level 1..9 · window 9..15 (log2 bytes) · memory 1..9 ·
//             strategy 0..4 (zlib's numbers) · wrapper 0 = raw, 1 = zlib
//   kXz       level 0..9, +16 = extreme · dictionary in bytes · check 0, 1, 4
//             or 10 (.xz's numbers) · filter 0 or a BCJ filter's id (4..9)
//   kZstd     level 1..22
//   kLz4      nothing
//   kLz4Hc    level 3..12
struct CodecSetting {
  Codec codec = Codec::kDeflate;
  uint8_t level = 0;
  uint8_t window = 0;
  uint8_t memory = 0;
  uint8_t strategy = 0;
  uint8_t wrapper = 0;
  uint8_t check = 0;
  uint8_t filter = 0;
  uint32_t dictionary = 0;

  auto operator<=>(const CodecSetting&) const = default;
};

// The longest raw length of a block. Blocks of kStreamed codecs are expanded
// and compressed in passing; all others are held in memory as a whole.
inline constexpr uint32_t kMaxBufferedBlock = 1u << 20;
inline constexpr uint32_t kMaxLz4Block = 8u << 20;  // LZ4 legacy frames
inline constexpr uint32_t kMaxStreamedBlock = 1u << 30;
uint32_t MaxRawLength(const CodecSetting& setting);

// "image_map" unless every number is in its range.
absl::Status CheckSetting(const CodecSetting& setting);

// "deflate level 9, window 15, memory 8, strategy 0, zlib wrapper".
std::string Describe(const CodecSetting& setting);

// Expands and compresses whole blocks. Keeps its libraries' state between
// calls, so that a device allocates once; the state is that of the setting
// used last.
class BlockCodec {
 public:
  BlockCodec();
  ~BlockCodec();
  BlockCodec(const BlockCodec&) = delete;
  BlockCodec& operator=(const BlockCodec&) = delete;

  // Replaces `raw` by exactly `raw_length` bytes, ≤ MaxRawLength(setting).
  // `stored` must be used up. Without a setting's compression parameters: only
  // the codec and its wrapper matter.
  absl::Status Expand(const CodecSetting& setting, std::string_view stored,
                      uint32_t raw_length, std::string* raw);

  // Replaces `stored`. More than `limit` bytes: "image_block".
  absl::Status Compress(const CodecSetting& setting, std::string_view raw,
                        uint32_t limit, std::string* stored);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Bytes that compressing one block of `raw_length` takes at most, its raw and
// its stored bytes included. Declared in patches; a test holds it against
// what is allocated.
uint64_t CompressMemory(const CodecSetting& setting, uint32_t raw_length);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_CODEC_H_
