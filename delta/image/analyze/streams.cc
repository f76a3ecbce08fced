// Single compressed streams: LZ4 legacy frames, gzip members, .xz streams,
// zstd frames.
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "common/status.h"
#include "delta/image/analyze/candidates.h"
#include "delta/image/buffer.h"

namespace shoal::delta {
namespace {

constexpr size_t kReadSize = 64u << 10;

// The family of all blocks with these likely settings; new ones are added.
size_t FamilyOf(Candidates& found, std::vector<CodecSetting> likely) {
  for (size_t i = 0; i < found.families.size(); ++i)
    if (!found.families[i].one_writer && found.families[i].likely == likely)
      return i;
  found.families.push_back({.likely = std::move(likely)});
  return found.families.size() - 1;
}

absl::StatusOr<uint64_t> AddBlock(const Candidate& block, uint64_t end,
                                  Candidates& found) {
  if (found.blocks.size() >= kMaxCandidates) return NotThere();
  found.blocks.push_back(block);
  return end;
}

// RFC 1952, section 2.3: the length of a member's header.
absl::StatusOr<uint64_t> GzipHeader(std::string_view b) {
  enum : uint8_t { kCrc = 2, kExtra = 4, kName = 8, kComment = 16 };
  if (b.size() < 18 || !b.starts_with("\x1f\x8b\x08")) return NotThere();
  const auto flags = static_cast<uint8_t>(b[3]);
  if (flags & 0xe0) return NotThere();
  uint64_t at = 10;
  if (flags & kExtra) at += 2 + LittleEndian(b, at, 2);
  for (const uint8_t text : {kName, kComment}) {
    if (!(flags & text)) continue;
    const size_t zero = at < b.size() ? b.find('\0', at) : b.npos;
    if (zero == b.npos) return NotThere();
    at = zero + 1;
  }
  if (flags & kCrc) at += 2;
  if (at >= b.size()) return NotThere();
  return at;
}

struct Extent {
  uint64_t stored = 0;
  uint64_t raw = 0;
};

// Expands a raw deflate stream to find its end and checks RFC 1952's trailer.
absl::StatusOr<Extent> MeasureDeflate(const Source& source, uint64_t offset,
                                      uint64_t most_raw) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
    return ResourceExhausted("image_memory", "out of memory for inflate");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> closer(&stream,
                                                             inflateEnd);
  std::string in, out(kReadSize, '\0');
  uint64_t at = offset, raw = 0;
  uLong crc = crc32(0, nullptr, 0);
  for (int result = Z_OK; result != Z_STREAM_END;) {
    if (stream.avail_in == 0) {
      SHOAL_ASSIGN_OR_RETURN(in, source.UpTo(at, kReadSize));
      if (in.empty()) return NotThere();
      at += in.size();
      stream.next_in = reinterpret_cast<Bytef*>(in.data());
      stream.avail_in = static_cast<uInt>(in.size());
    }
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    result = inflate(&stream, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END) return NotThere();
    const uInt n = static_cast<uInt>(out.size()) - stream.avail_out;
    crc = crc32(crc, reinterpret_cast<Bytef*>(out.data()), n);
    raw += n;
    if (raw > most_raw) return NotThere();
  }
  const uint64_t end = at - stream.avail_in;
  SHOAL_ASSIGN_OR_RETURN(const std::string trailer, source.Bytes(end, 8));
  if (LittleEndian(trailer, 0, 4) != crc ||
      LittleEndian(trailer, 4, 4) != (raw & UINT32_MAX))
    return NotThere();
  return Extent{end - offset, raw};
}

}  // namespace

absl::StatusOr<uint64_t> FindGzip(const Source& source, uint64_t offset,
                                  uint64_t most_raw, Candidates& found) {
  SHOAL_ASSIGN_OR_RETURN(const std::string head, source.UpTo(offset, 4096));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t header, GzipHeader(head));
  const uint64_t start = offset + header;
  SHOAL_ASSIGN_OR_RETURN(
      const Extent extent,
      MeasureDeflate(source, start,
                     std::min<uint64_t>(most_raw, kMaxStreamedBlock)));
  if (extent.raw < kMinRaw || extent.stored > MaxStoredLength(extent.raw))
    return NotThere();
  // Header and trailer stay raw. The extra flags say best or fastest.
  const auto extra = static_cast<uint8_t>(head[8]);
  const uint8_t level = extra == 2 ? 9 : extra == 4 ? 1 : 6;
  const size_t family = FamilyOf(found, {{.codec = ImageCodec::kDeflate,
                                          .level = level,
                                          .window = 15,
                                          .memory = 8}});
  return AddBlock(
      {start, extent.stored, static_cast<uint32_t>(extent.raw), family},
      start + extent.stored + 8, found);
}

// lz4's lib/README: magic number, then blocks of 8 MiB of raw bytes each with
// their stored length before them, until something else follows.
absl::StatusOr<uint64_t> FindLz4Legacy(const Source& source, uint64_t offset,
                                       Candidates& found) {
  SHOAL_ASSIGN_OR_RETURN(const std::string magic, source.Bytes(offset, 4));
  if (magic != "\x02\x21\x4c\x18") return NotThere();
  Buffer raw;  // taken when there is something to expand
  const size_t before = found.blocks.size();
  size_t family = SIZE_MAX;
  uint64_t at = offset + 4;
  for (bool last = false; !last && found.blocks.size() < kMaxCandidates;) {
    const auto header = source.Bytes(at, 4);
    if (!header.ok() && !IsNotThere(header.status())) return header.status();
    if (!header.ok()) break;
    const uint64_t stored = LittleEndian(*header, 0, 4);
    if (stored == 0 ||
        stored > static_cast<uint64_t>(LZ4_compressBound(kMaxLz4Block)))
      break;
    const auto bytes = source.Bytes(at + 4, stored);
    if (!bytes.ok() && !IsNotThere(bytes.status())) return bytes.status();
    if (!bytes.ok()) break;
    SHOAL_RETURN_IF_ERROR(raw.Reserve(kMaxLz4Block));
    const int n =
        LZ4_decompress_safe(bytes->data(), raw.data(), static_cast<int>(stored),
                            static_cast<int>(kMaxLz4Block));
    if (n < static_cast<int>(kMinRaw) ||
        stored > MaxStoredLength(static_cast<uint64_t>(n)))
      break;
    if (family == SIZE_MAX)
      family =
          FamilyOf(found, {{.codec = ImageCodec::kLz4HcPieces, .level = 9}});
    found.blocks.push_back({at + 4, stored, static_cast<uint32_t>(n), family});
    at += 4 + stored;
    last = n < static_cast<int>(kMaxLz4Block);
  }
  if (found.blocks.size() == before) return NotThere();
  return at;
}

// The .xz file format 1.0.4 or later; of one block, of at most 1 MiB.
absl::StatusOr<uint64_t> FindXz(const Source& source, uint64_t offset,
                                Candidates& found) {
  constexpr size_t kHead = LZMA_STREAM_HEADER_SIZE;
  // The stream's header has a checksum: junk costs no long read.
  SHOAL_ASSIGN_OR_RETURN(const std::string head, source.Bytes(offset, kHead));
  lzma_stream_flags flags;
  if (lzma_stream_header_decode(
          &flags, reinterpret_cast<const uint8_t*>(head.data())) != LZMA_OK)
    return NotThere();
  SHOAL_ASSIGN_OR_RETURN(
      const std::string bytes,
      source.UpTo(offset, MaxStoredLength(kMaxBufferedBlock)));
  const auto* in = reinterpret_cast<const uint8_t*>(bytes.data());
  if (bytes.size() < kHead + LZMA_BLOCK_HEADER_SIZE_MIN || in[kHead] == 0)
    return NotThere();
  lzma_filter filters[LZMA_FILTERS_MAX + 1];
  lzma_block block{};
  block.check = flags.check;
  block.filters = filters;
  block.header_size = lzma_block_header_size_decode(in[kHead]);
  if (bytes.size() < kHead + block.header_size ||
      lzma_block_header_decode(&block, nullptr, in + kHead) != LZMA_OK)
    return NotThere();
  CodecSetting setting{.codec = ImageCodec::kXz,
                       .level = 6,
                       .check = static_cast<uint8_t>(flags.check)};
  // A streaming encoder does not know the sizes when it writes the header.
  setting.wrapper = block.compressed_size == LZMA_VLI_UNKNOWN;
  const size_t last = filters[1].id == LZMA_VLI_UNKNOWN   ? 0
                      : filters[2].id == LZMA_VLI_UNKNOWN ? 1
                                                          : SIZE_MAX;
  if (last == 1) setting.filter = static_cast<uint8_t>(filters[0].id);
  if (last <= 1 && filters[last].id == LZMA_FILTER_LZMA2)
    setting.dictionary =
        static_cast<lzma_options_lzma*>(filters[last].options)->dict_size;
  lzma_filters_free(filters, nullptr);
  if (!CheckSetting(setting).ok()) return NotThere();

  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, setting.dictionary + kXzDecoderState, 0) !=
      LZMA_OK)
    return ResourceExhausted("image_memory", "out of memory for liblzma");
  std::string raw(kMaxBufferedBlock, '\0');
  stream.next_in = in;
  stream.avail_in = bytes.size();
  stream.next_out = reinterpret_cast<uint8_t*>(raw.data());
  stream.avail_out = raw.size();
  const lzma_ret result = lzma_code(&stream, LZMA_RUN);
  const uint64_t stored = stream.total_in, length = stream.total_out;
  lzma_end(&stream);
  if (result != LZMA_STREAM_END || length < kMinRaw ||
      stored > MaxStoredLength(length))
    return NotThere();
  return AddBlock({offset, stored, static_cast<uint32_t>(length),
                   FamilyOf(found, {setting})},
                  offset + stored, found);
}

absl::StatusOr<uint64_t> FindZstd(const Source& source, uint64_t offset,
                                  Candidates& found) {
  constexpr uint64_t kLongestHeader = 18;
  SHOAL_ASSIGN_OR_RETURN(const std::string head,
                         source.UpTo(offset, kLongestHeader));
  const unsigned long long raw =
      ZSTD_getFrameContentSize(head.data(), head.size());
  if (raw == ZSTD_CONTENTSIZE_UNKNOWN || raw == ZSTD_CONTENTSIZE_ERROR ||
      raw < kMinRaw || raw > kMaxBufferedBlock)
    return NotThere();
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         source.UpTo(offset, MaxStoredLength(raw)));
  const size_t stored =
      ZSTD_findFrameCompressedSize(bytes.data(), bytes.size());
  if (ZSTD_isError(stored) || stored > MaxStoredLength(raw)) return NotThere();
  // RFC 8878, 3.1.1.1.1: bit 2 of the frame header is the checksum's.
  const bool checksum = static_cast<uint8_t>(bytes[4]) & 4;
  const uint8_t check = checksum ? 1 : 0;
  const size_t family = FamilyOf(
      found, {{.codec = ImageCodec::kZstd, .level = 3, .check = check},
              {.codec = ImageCodec::kZstd, .level = 19, .check = check}});
  return AddBlock({offset, stored, static_cast<uint32_t>(raw), family},
                  offset + stored, found);
}

}  // namespace shoal::delta
