// The SDELTA version 1 format: what a patch file's bytes mean. The byte-exact
// description is docs/delta-format.md; maker and applier share this code, so
// that they cannot differ about it. Pure functions, thread-safe.
#ifndef SHOAL_DELTA_FORMAT_FORMAT_H_
#define SHOAL_DELTA_FORMAT_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace shoal::delta {

inline constexpr std::string_view kMagic = "SDELTA";
inline constexpr uint8_t kVersion = 1;
inline constexpr size_t kHeaderSize = 104;
inline constexpr size_t kChecksumSize = 8;
// Images are below 2^56 bytes, so that no sum of two sizes overflows.
inline constexpr uint64_t kMaxImageSize = uint64_t{1} << 56;
inline constexpr uint32_t kMinWindowSize = 4096;
inline constexpr uint32_t kMaxWindowSize = 64u << 20;
inline constexpr uint32_t kDefaultWindowSize = 1u << 20;

// The set of encodings a patch may use; a reader that does not know the id
// refuses the patch before it reads further ("unsupported_delta").
enum class Codec : uint8_t {
  kZstd = 1,  // sections are stored or zstd (RFC 8878)
};

// How one section of a window is stored.
enum class SectionCodec : uint8_t { kStored = 0, kZstd = 1 };

struct Header {
  Codec codec = Codec::kZstd;
  uint64_t old_size = 0;                      // bytes of the base that count
  uint64_t new_size = 0;                      // bytes of the result
  std::string old_sha256;                     // 32 bytes
  std::string new_sha256;                     // 32 bytes
  uint32_t window_size = kDefaultWindowSize;  // most raw bytes of a window
  uint32_t reader_memory = 0;  // bytes of memory that a reader allocates
};

// What a reader of windows of `window_size` raw bytes allocates, at most:
// one window as stored, one decompressed, zstd's context, two I/O buffers.
constexpr uint64_t ReaderMemory(uint32_t window_size) {
  return 2 * uint64_t{window_size} + (768u << 10);
}

// kHeaderSize bytes; the last kChecksumSize of them are the checksum.
std::string EncodeHeader(const Header& header);

// `bytes` holds at least kHeaderSize bytes. Reasons: "delta_corrupt" (no
// patch, bad checksum, impossible values), "unsupported_delta" (a version or
// codec this code does not know).
absl::StatusOr<Header> ParseHeader(std::string_view bytes);

// Sections of a window, in this order.
enum Section { kControl = 0, kDiff = 1, kExtra = 2, kSections = 3 };

struct SectionInfo {
  uint64_t raw_size = 0;
  SectionCodec codec = SectionCodec::kStored;
  uint64_t stored_size = 0;  // ≤ raw_size
};

struct WindowHeader {
  uint64_t new_size = 0;  // bytes of the result that the window makes, ≥ 1
  std::array<SectionInfo, kSections> sections;
  uint64_t RawSize() const;
  uint64_t StoredSize() const;
};

// The longest window header: flags, the length, three sections.
inline constexpr size_t kMaxWindowHeaderSize = 1 + 10 + 3 * (10 + 1 + 10);

void AppendWindowHeader(std::string& out, const WindowHeader& window);

// First kChecksumSize bytes of SHA-256 over the patch header's checksum, the
// window's place in the result, its header and its stored sections: a window
// cannot be damaged, moved or taken from another patch unnoticed.
std::string WindowChecksum(std::string_view header_checksum,
                           uint64_t new_offset, std::string_view window_header,
                           std::string_view stored);

// Control instructions: varint (argument << 2 | kind).
enum class Op : uint8_t {
  kCopy = 0,   // argument bytes of the base, unchanged
  kAdd = 1,    // argument bytes of the base, each plus a byte of diff
  kExtra = 2,  // argument bytes of extra
  kSeek = 3,   // moves the place in the base by unzigzag(argument)
};

// Unsigned LEB128, at most ten bytes, shortest form only.
void AppendVarint(std::string& out, uint64_t value);
// Takes one off the front of `bytes`; nullopt when cut off or malformed.
std::optional<uint64_t> TakeVarint(std::string_view& bytes);

constexpr uint64_t Zigzag(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}
constexpr int64_t Unzigzag(uint64_t v) {
  return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
}

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_FORMAT_FORMAT_H_
