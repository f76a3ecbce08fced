#include "delta/format/format.h"

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::delta {
namespace {

absl::Status Corrupt(std::string_view what) {
  return DataLoss("delta_corrupt", what);
}

std::string Checksum(std::string_view bytes) {
  return crypto::Sha256Digest(bytes).substr(0, kChecksumSize);
}

}  // namespace

std::string EncodeHeader(const Header& header) {
  std::string out(kMagic);
  out.push_back(static_cast<char>(kVersion));
  out.push_back(static_cast<char>(header.codec));
  AppendBigEndian(out, header.old_size, 8);
  AppendBigEndian(out, header.new_size, 8);
  out += header.old_sha256;
  out += header.new_sha256;
  AppendBigEndian(out, header.window_size, 4);
  AppendBigEndian(out, header.reader_memory, 4);
  out += Checksum(out);
  return out;
}

absl::StatusOr<Header> ParseHeader(std::string_view bytes) {
  if (bytes.size() < kHeaderSize)
    return DataLoss("delta_truncated", "the patch ends in its header");
  bytes = bytes.substr(0, kHeaderSize);
  if (bytes.substr(0, kMagic.size()) != kMagic)
    return Corrupt("this is not a Shoal delta");
  // A later version may have another header: its checksum says nothing here.
  const uint8_t version = static_cast<uint8_t>(bytes[6]);
  if (version != kVersion)
    return MakeError(absl::StatusCode::kUnimplemented, "unsupported_delta",
                     fmt::format("format version {}, this reader knows {}",
                                 version, kVersion));
  const std::string_view covered = bytes.substr(0, kHeaderSize - kChecksumSize);
  if (Checksum(covered) != bytes.substr(covered.size()))
    return Corrupt("the header's checksum is wrong");
  const uint8_t codec = static_cast<uint8_t>(bytes[7]);
  if (codec != static_cast<uint8_t>(Codec::kZstd))
    return MakeError(absl::StatusCode::kUnimplemented, "unsupported_delta",
                     fmt::format("codec {} is not known here", codec));
  Header header;
  header.codec = Codec::kZstd;
  header.old_size = ReadBigEndian(bytes.substr(8), 8);
  header.new_size = ReadBigEndian(bytes.substr(16), 8);
  header.old_sha256 = std::string(bytes.substr(24, 32));
  header.new_sha256 = std::string(bytes.substr(56, 32));
  header.window_size =
      static_cast<uint32_t>(ReadBigEndian(bytes.substr(88), 4));
  header.reader_memory =
      static_cast<uint32_t>(ReadBigEndian(bytes.substr(92), 4));
  if (header.old_size > kMaxImageSize || header.new_size > kMaxImageSize)
    return Corrupt("an image size is impossible");
  if (header.window_size < kMinWindowSize ||
      header.window_size > kMaxWindowSize)
    return Corrupt("the window size is impossible");
  // The reader goes by its own arithmetic; a header that promises less lies.
  if (header.reader_memory < ReaderMemory(header.window_size))
    return Corrupt("the stated memory is too small for the window size");
  return header;
}

uint64_t WindowHeader::RawSize() const {
  uint64_t sum = 0;
  for (const SectionInfo& s : sections) sum += s.raw_size;
  return sum;
}

uint64_t WindowHeader::StoredSize() const {
  uint64_t sum = 0;
  for (const SectionInfo& s : sections) sum += s.stored_size;
  return sum;
}

void AppendWindowHeader(std::string& out, const WindowHeader& window) {
  out.push_back(0);  // flags
  AppendVarint(out, window.new_size);
  for (const SectionInfo& s : window.sections) {
    AppendVarint(out, s.raw_size);
    if (s.raw_size == 0) continue;
    out.push_back(static_cast<char>(s.codec));
    if (s.codec != SectionCodec::kStored) AppendVarint(out, s.stored_size);
  }
}

std::string WindowChecksum(std::string_view header_checksum,
                           uint64_t new_offset, std::string_view window_header,
                           std::string_view stored) {
  crypto::Sha256 hash;
  std::string prefix(header_checksum);
  AppendBigEndian(prefix, new_offset, 8);
  hash.Update(prefix);
  hash.Update(window_header);
  hash.Update(stored);
  return hash.Finish().substr(0, kChecksumSize);
}

void AppendVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

std::optional<uint64_t> TakeVarint(std::string_view& bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size() && i < 10; ++i) {
    const uint8_t byte = static_cast<uint8_t>(bytes[i]);
    if (i == 9 && byte > 1) return std::nullopt;
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) {
      if (byte == 0 && i > 0) return std::nullopt;  // not the shortest form
      bytes.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

}  // namespace shoal::delta
