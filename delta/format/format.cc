#include "delta/format/format.h"

#include <fmt/format.h>

#include <bit>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::delta {
namespace {

absl::Status Corrupt(std::string_view what) {
  return DataLoss("delta_corrupt", what);
}

absl::Status Unsupported(std::string_view what) {
  return MakeError(absl::StatusCode::kUnimplemented, "unsupported_delta", what);
}

std::string Checksum(std::string_view bytes) {
  return crypto::Sha256Digest(bytes).substr(0, kChecksumSize);
}

absl::Status CheckModel(const Header& header) {
  if (header.coding == Coding::kZstd) {
    if (header.model_version != 0 || header.model_level != 0 ||
        header.group_log2 != 0)
      return Corrupt("a header without a model describes one");
    return absl::OkStatus();
  }
  if (header.model_version != kModelVersion)
    return Unsupported(fmt::format("model version {} is not known here",
                                   header.model_version));
  if (header.group_log2 < kMinGroupLog2 || header.group_log2 > kMaxGroupLog2)
    return Corrupt("the size of groups is impossible");
  return absl::OkStatus();
}

}  // namespace

std::string EncodeHeader(const Header& header) {
  std::string out(kMagic);
  out.push_back(static_cast<char>(kVersion));
  out.push_back(static_cast<char>(header.coding));
  AppendBigEndian(out, header.old_size, 8);
  AppendBigEndian(out, header.new_size, 8);
  out += header.old_sha256;
  out += header.new_sha256;
  AppendBigEndian(out, header.reader_memory, 4);
  out.push_back(static_cast<char>(std::bit_width(header.window_size) - 1));
  out.push_back(static_cast<char>(header.model_version));
  out.push_back(static_cast<char>(header.model_level));
  out.push_back(static_cast<char>(header.group_log2));
  AppendBigEndian(out, header.maps_size, 4);
  AppendBigEndian(out, header.maps_stored, 4);
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
    return Unsupported(fmt::format("format version {}, this reader knows {}",
                                   version, kVersion));
  const std::string_view covered = bytes.substr(0, kHeaderSize - kChecksumSize);
  if (Checksum(covered) != bytes.substr(covered.size()))
    return Corrupt("the header's checksum is wrong");
  const uint8_t coding = static_cast<uint8_t>(bytes[7]);
  if (coding != static_cast<uint8_t>(Coding::kZstd) &&
      coding != static_cast<uint8_t>(Coding::kModel))
    return Unsupported(fmt::format("coding {} is not known here", coding));
  Header header;
  header.coding = static_cast<Coding>(coding);
  header.old_size = ReadBigEndian(bytes.substr(8), 8);
  header.new_size = ReadBigEndian(bytes.substr(16), 8);
  header.old_sha256 = std::string(bytes.substr(24, 32));
  header.new_sha256 = std::string(bytes.substr(56, 32));
  header.reader_memory =
      static_cast<uint32_t>(ReadBigEndian(bytes.substr(88), 4));
  const uint8_t window_log2 = static_cast<uint8_t>(bytes[92]);
  header.model_version = static_cast<uint8_t>(bytes[93]);
  header.model_level = static_cast<uint8_t>(bytes[94]);
  header.group_log2 = static_cast<uint8_t>(bytes[95]);
  header.maps_size = static_cast<uint32_t>(ReadBigEndian(bytes.substr(96), 4));
  header.maps_stored =
      static_cast<uint32_t>(ReadBigEndian(bytes.substr(100), 4));
  if (header.old_size > kMaxImageSize || header.new_size > kMaxImageSize)
    return Corrupt("an image size is impossible");
  if (window_log2 < std::bit_width(kMinWindowSize) - 1 ||
      window_log2 > std::bit_width(kMaxWindowSize) - 1)
    return Corrupt("the window size is impossible");
  header.window_size = uint32_t{1} << window_log2;
  SHOAL_RETURN_IF_ERROR(CheckModel(header));
  if (header.maps_size > kMaxMapsSize ||
      header.maps_stored > header.maps_size ||
      (header.maps_stored == 0) != (header.maps_size == 0))
    return Corrupt("the lengths of the maps are impossible");
  // The reader goes by its own arithmetic; a header that promises less lies.
  if (header.reader_memory < ReaderMemory(header))
    return Corrupt("the stated memory is too small for the window size");
  return header;
}

uint64_t WindowHeader::RawSize() const {
  uint64_t sum = 0;
  for (const SectionInfo& s : sections) sum += s.raw_size;
  return sum;
}

uint64_t WindowHeader::StoredSize() const {
  uint64_t sum = coded_size;
  for (const SectionInfo& s : sections) sum += s.stored_size;
  return sum;
}

void AppendWindowHeader(std::string& out, const WindowHeader& window) {
  out.push_back(static_cast<char>(window.kind));
  AppendVarint(out, window.new_size);
  if (window.kind != WindowKind::kSections) {
    if (window.kind == WindowKind::kOperations)
      AppendVarint(out, window.operations);
    AppendVarint(out, window.coded_size);
    return;
  }
  for (const SectionInfo& s : window.sections) {
    AppendVarint(out, s.raw_size);
    if (s.raw_size == 0) continue;
    out.push_back(static_cast<char>(s.codec));
    if (s.codec != SectionCodec::kStored) AppendVarint(out, s.stored_size);
  }
}

std::optional<WindowHeader> TakeWindowHeader(std::string_view& bytes) {
  std::string_view rest = bytes;
  const auto take_byte = [&]() -> std::optional<uint8_t> {
    if (rest.empty()) return std::nullopt;
    const uint8_t byte = static_cast<uint8_t>(rest[0]);
    rest.remove_prefix(1);
    return byte;
  };
  // An absent number is an error, so is the window.
  bool cut = false;
  const auto take_number = [&]() -> uint64_t {
    const std::optional<uint64_t> number = TakeVarint(rest);
    cut = cut || !number;
    return number.value_or(0);
  };
  WindowHeader window;
  const std::optional<uint8_t> kind = take_byte();
  if (!kind || *kind > static_cast<uint8_t>(WindowKind::kContent))
    return std::nullopt;
  window.kind = static_cast<WindowKind>(*kind);
  window.new_size = take_number();
  if (window.kind != WindowKind::kSections) {
    if (window.kind == WindowKind::kOperations)
      window.operations = take_number();
    window.coded_size = take_number();
  } else {
    for (SectionInfo& s : window.sections) {
      s.raw_size = s.stored_size = take_number();
      if (s.raw_size == 0) continue;
      const std::optional<uint8_t> codec = take_byte();
      if (!codec || *codec > static_cast<uint8_t>(SectionCodec::kZstd))
        return std::nullopt;
      s.codec = static_cast<SectionCodec>(*codec);
      if (s.codec != SectionCodec::kStored) s.stored_size = take_number();
    }
  }
  if (cut) return std::nullopt;
  bytes = rest;
  return window;
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
