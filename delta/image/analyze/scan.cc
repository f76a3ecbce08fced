// Looks for the magic numbers of all known formats.
#include <algorithm>
#include <cstring>
#include <string>

#include "common/status.h"
#include "delta/image/analyze/candidates.h"

namespace shoal::delta {
namespace {

constexpr uint64_t kReadSize = 1u << 20;
constexpr size_t kMagic = 4;

enum class Format { kNone, kSquashfs, kGzip, kXz, kZstd, kLz4Legacy };

Format FormatAt(const char* at) {
  switch (static_cast<uint8_t>(*at)) {
    case 'h':
      return memcmp(at, "hsqs", 4) == 0 ? Format::kSquashfs : Format::kNone;
    case 0x1f:
      return memcmp(at, "\x1f\x8b\x08", 3) == 0 ? Format::kGzip : Format::kNone;
    case 0xfd:
      return memcmp(at, "\xfd\x37zX", 4) == 0 ? Format::kXz : Format::kNone;
    case 0x28:
      return memcmp(at, "\x28\xb5\x2f\xfd", 4) == 0 ? Format::kZstd
                                                    : Format::kNone;
    case 0x02:
      return memcmp(at, "\x02\x21\x4c\x18", 4) == 0 ? Format::kLz4Legacy
                                                    : Format::kNone;
  }
  return Format::kNone;
}

absl::StatusOr<uint64_t> Find(Format format, const Source& source,
                              uint64_t offset, uint64_t most_raw,
                              Candidates& found) {
  switch (format) {
    case Format::kSquashfs:
      return FindSquashfs(source, offset, found);
    case Format::kGzip:
      return FindGzip(source, offset, most_raw, found);
    case Format::kXz:
      return FindXz(source, offset, found);
    case Format::kZstd:
      return FindZstd(source, offset, found);
    case Format::kLz4Legacy:
      return FindLz4Legacy(source, offset, found);
    case Format::kNone:
      break;
  }
  return NotThere();
}

void DropOverlapping(std::vector<Candidate>& blocks) {
  std::sort(blocks.begin(), blocks.end(),
            [](const Candidate& a, const Candidate& b) {
              return a.offset < b.offset;
            });
  uint64_t end = 0;
  std::erase_if(blocks, [&](const Candidate& block) {
    if (block.offset < end) return true;
    end = block.offset + block.stored;
    return false;
  });
}

}  // namespace

absl::StatusOr<Candidates> FindCandidates(
    const Source& source, uint64_t most_raw,
    const std::function<absl::Status(uint64_t)>& progress) {
  Candidates found;
  uint64_t at = 0;
  while (at + kMagic <= source.size) {
    SHOAL_RETURN_IF_ERROR(progress(at));
    SHOAL_ASSIGN_OR_RETURN(const std::string bytes, source.UpTo(at, kReadSize));
    size_t i = 0;
    Format format = Format::kNone;
    const size_t last = bytes.size() - kMagic;
    while (i <= last && (format = FormatAt(bytes.data() + i)) == Format::kNone)
      ++i;
    at += i;  // past the last place that could be compared, or at a magic
    if (format == Format::kNone) continue;
    const auto end = Find(format, source, at, most_raw, found);
    if (!end.ok() && !IsNotThere(end.status())) return end.status();
    at = end.ok() ? std::max(*end, at + 1) : at + 1;
  }
  DropOverlapping(found.blocks);
  return found;
}

}  // namespace shoal::delta
