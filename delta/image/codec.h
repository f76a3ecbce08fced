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
//   kLz4Hc    squashfs "lz4 -Xhc"
//   kLz4HcPieces  Linux kernels (LZ4 legacy frames): the same bytes, made piece
//             by piece (lz4_pieces.h)
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

enum class ImageCodec : uint8_t {
  kDeflate = 1,
  kXz = 2,
  kZstd = 3,
  kLz4 = 4,
  kLz4Hc = 5,
  kLz4HcPieces = 6,
};

// Meaning of the numbers by codec; those that a codec does not use are 0.
//   kDeflate  level 1..9 · window 9..15 (log2 bytes) · memory 1..9 ·
//             strategy 0..4 (zlib's numbers) · wrapper 0 = raw, 1 = zlib
//   kXz       level 0..9, +16 = extreme · dictionary in bytes · check 0, 1, 4
//             or 10 (.xz's numbers) · filter 0 or a BCJ filter's id (4..9) ·
//             wrapper 0 = lzma_stream_buffer_encode, 1 = lzma_stream_encoder
//   kZstd     level 1..22 · check 0, 1 = frame checksum
//   kLz4      nothing
//   kLz4Hc, kLz4HcPieces  level 3..12
struct CodecSetting {
  ImageCodec codec = ImageCodec::kDeflate;
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

// The longest raw length of a block. Blocks above kMaxBufferedBlock are
// expanded in passing, those of deflate compressed in passing, too.
inline constexpr uint32_t kMaxBufferedBlock = 1u << 20;
inline constexpr uint32_t kMaxLz4Block = 8u << 20;  // LZ4 legacy frames
inline constexpr uint32_t kMaxStreamedBlock = 1u << 30;
// Raw bytes that a streamed block is compressed by; part of what decides about
// the stored bytes.
inline constexpr size_t kStreamChunk = 64u << 10;
inline constexpr uint32_t kMaxXzDictionary = 8u << 20;
uint32_t MaxRawLength(const CodecSetting& setting);

// "image_map" unless every number is in its range.
absl::Status CheckSetting(const CodecSetting& setting);

// "deflate level 9, window 15, memory 8, strategy 0, zlib wrapper".
std::string Describe(const CodecSetting& setting);

// Expands and compresses whole blocks. Keeps its buffers between calls, and the
// compressor's state while blocks of the same codec follow, so that a device
// hardly allocates.
class BlockCodec {
 public:
  BlockCodec();
  ~BlockCodec();
  BlockCodec(const BlockCodec&) = delete;
  BlockCodec& operator=(const BlockCodec&) = delete;

  // Expands all of `stored` into `raw`; the expanded length, ≤ `capacity`. Of
  // the setting matter codec, wrapper and, as the most that is taken, the
  // dictionary.
  absl::StatusOr<size_t> ExpandUpTo(const CodecSetting& setting,
                                    std::string_view stored, char* raw,
                                    size_t capacity);
  // The same where the length is known.
  absl::Status Expand(const CodecSetting& setting, std::string_view stored,
                      char* raw, size_t raw_length);

  // Room for the raw bytes of the block that Compress() takes next, valid
  // until then.
  absl::StatusOr<char*> Prepare(const CodecSetting& setting, size_t raw_length);
  // The stored bytes, valid until the next call; at most `limit`, else
  // "image_block". The raw bytes are gone.
  absl::StatusOr<std::string_view> Compress(size_t limit);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Bytes that compressing takes at most. Of blocks in turn, the codec's state
// may be that of one, the room for raw and for stored bytes that of others.
struct CodecMemory {
  uint64_t state = 0;
  uint64_t raw = 0;
  uint64_t stored = 0;

  uint64_t total() const { return state + raw + stored; }
  void RaiseTo(const CodecMemory& other);  // each to the larger of both
};

// For one block of `raw_length` held as a whole. Declared in patches; a test
// holds it against what is allocated. Not for kLz4HcPieces.
CodecMemory WholeBlockMemory(const CodecSetting& setting, uint32_t raw_length);

// The same however the codec goes about a block of that length: as a whole, in
// passing, or in pieces, which are then taken as long as they may be.
uint64_t CompressMemory(const CodecSetting& setting, uint32_t raw_length);

// Bytes that expanding one block takes at most beside its raw and stored bytes.
inline constexpr uint64_t kXzDecoderState = 128u << 10;
uint64_t ExpandMemory(const CodecSetting& setting);

// A block may be this much longer than its raw bytes; longer ones stay raw.
constexpr uint64_t MaxStoredLength(uint64_t raw_length) {
  return raw_length + raw_length / 64 + 1024;
}

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_CODEC_H_
