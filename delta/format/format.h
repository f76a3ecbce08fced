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
inline constexpr uint8_t kModelVersion = 3;  // docs/delta-entropy.md
inline constexpr size_t kHeaderSize = 112;
inline constexpr size_t kChecksumSize = 8;
// Images are below 2^56 bytes, so that no sum of two sizes overflows.
inline constexpr uint64_t kMaxImageSize = uint64_t{1} << 56;
inline constexpr uint32_t kMinWindowSize = 4096;
inline constexpr uint32_t kMaxWindowSize = 64u << 20;
inline constexpr uint32_t kDefaultWindowSize = 1u << 20;

// The set of encodings a patch may use; a reader that does not know the id
// refuses the patch before it reads further ("unsupported_delta").
enum class Coding : uint8_t {
  kZstd = 1,   // sections are stored or zstd (RFC 8878)
  kModel = 2,  // windows are coded by the context model of delta/entropy
};

// How one section of a window is stored.
enum class SectionCodec : uint8_t { kStored = 0, kZstd = 1 };

struct Header {
  Coding coding = Coding::kZstd;
  uint64_t old_size = 0;   // bytes of the base that count
  uint64_t new_size = 0;   // bytes of the result
  std::string old_sha256;  // 32 bytes
  std::string new_sha256;  // 32 bytes
  // Most raw bytes of a window; a power of two.
  uint32_t window_size = kDefaultWindowSize;
  uint32_t reader_memory = 0;  // bytes of memory that a reader allocates
  // With kModel only, else 0: the model's version and level (delta/entropy),
  // and the log2 of the most operations of a group.
  uint8_t model_version = 0;
  uint8_t model_level = 0;
  uint8_t group_log2 = 0;
  // The maps of compressed images behind the header (delta/image), zstd when
  // smaller: bytes as they are and as stored. 0: the images are taken as is.
  uint32_t maps_size = 0;
  uint32_t maps_stored = 0;
};

// An operation of a group of the model: what the reader keeps of it.
enum class OperationKind : uint8_t { kCopy = 0, kAdd = 1, kInsert = 2 };
struct Operation {
  OperationKind kind = OperationKind::kCopy;
  uint64_t size = 0;    // bytes of the result, ≥ 1
  uint64_t old_at = 0;  // copy and add: the place in the base
};
inline constexpr uint8_t kMinGroupLog2 = 4;
inline constexpr uint8_t kMaxGroupLog2 = 20;

// What a reader allocates, at most, without the model's own tables and what
// the maps need: windows as stored and decompressed, zstd's context, buffers,
// a group's operations.
constexpr uint64_t ReaderMemory(const Header& header) {
  return 2 * uint64_t{header.window_size} + (768u << 10) +
         (header.coding == Coding::kModel
              ? sizeof(Operation) << header.group_log2
              : 0);
}

// The maps' section as it is and as stored, at most.
inline constexpr uint32_t kMaxMapsSize = 16u << 20;

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

// Sections: control, diff and extra of a stretch of the result, independent of
// all other windows. With a model: operations (of a whole group: the stretch
// that one life of the model makes) followed by content windows, which carry
// them out.
enum class WindowKind : uint8_t {
  kSections = 0,
  kOperations = 1,
  kContent = 2,
};

struct WindowHeader {
  WindowKind kind = WindowKind::kSections;
  uint64_t new_size = 0;  // bytes of the result that the window makes, ≥ 1;
                          // kOperations: that its group makes
  std::array<SectionInfo, kSections> sections;  // kSections
  uint64_t operations = 0;                      // kOperations: how many, ≥ 1
  uint64_t coded_size = 0;                      // kOperations, kContent
  uint64_t RawSize() const;
  uint64_t StoredSize() const;
};

// The longest window header: kind, the length, three sections.
inline constexpr size_t kMaxWindowHeaderSize = 1 + 10 + 3 * (10 + 1 + 10);

void AppendWindowHeader(std::string& out, const WindowHeader& window);
// Takes one off the front of `bytes`, for tools; nullopt when cut off or
// malformed. Says nothing about whether its sizes are possible.
std::optional<WindowHeader> TakeWindowHeader(std::string_view& bytes);

// First kChecksumSize bytes of SHA-256 over the patch header's checksum, the
// window's place in the result, its header and its stored sections: a window
// cannot be damaged, moved or taken from another patch unnoticed.
std::string WindowChecksum(std::string_view header_checksum,
                           uint64_t new_offset, std::string_view window_header,
                           std::string_view stored);

// Control instructions of sections: varint (argument << 2 | kind).
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
