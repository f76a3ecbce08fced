#include "delta/image/analyze/squashfs_inodes.h"

#include <algorithm>

#include "delta/image/analyze/source.h"

namespace shoal::delta {
namespace {

constexpr uint32_t kNoFragment = UINT32_MAX;
constexpr size_t kCommon = 16;  // type, mode, uid, gid, time, number

enum InodeType : uint16_t {
  kDirectory = 1,
  kFile = 2,
  kSymlink = 3,
  kBlockDevice = 4,
  kCharDevice = 5,
  kFifo = 6,
  kSocket = 7,
  kLongDirectory = 8,
  kLongFile = 9,
  kLongSymlink = 10,
  kLongBlockDevice = 11,
  kLongCharDevice = 12,
  kLongFifo = 13,
  kLongSocket = 14,
};

// A file's fixed part.
struct File {
  uint64_t start, size;
  uint32_t fragment;
  size_t header;  // bytes before the list of block lengths
};

class InodeWalk {
 public:
  InodeWalk(
      std::string_view table, uint32_t block_size,
      const std::function<absl::Status(uint64_t, uint32_t, uint32_t)>& block)
      : table_(table), block_size_(block_size), block_(block) {}

  absl::Status Run() {
    while (at_ < table_.size()) SHOAL_RETURN_IF_ERROR(Inode());
    return absl::OkStatus();
  }

 private:
  bool Has(uint64_t length) const { return length <= table_.size() - at_; }
  uint64_t Field(size_t offset, int width) const {
    return LittleEndian(table_, at_ + offset, width);
  }
  absl::Status Skip(uint64_t length) {
    if (!Has(length)) return NotThere();
    at_ += length;
    return absl::OkStatus();
  }

  absl::Status Inode() {
    if (!Has(kCommon)) return NotThere();
    switch (Field(0, 2)) {
      case kDirectory:
        return Skip(32);
      case kFile:
        if (!Has(32)) return NotThere();
        return FileBlocks({.start = Field(16, 4),
                           .size = Field(28, 4),
                           .fragment = static_cast<uint32_t>(Field(20, 4)),
                           .header = 32});
      case kLongFile:
        if (!Has(56)) return NotThere();
        return FileBlocks({.start = Field(16, 8),
                           .size = Field(24, 8),
                           .fragment = static_cast<uint32_t>(Field(44, 4)),
                           .header = 56});
      case kSymlink:
        return Has(24) ? Skip(24 + Field(20, 4)) : NotThere();
      case kLongSymlink:
        return Has(24) ? Skip(28 + Field(20, 4)) : NotThere();
      case kBlockDevice:
      case kCharDevice:
        return Skip(24);
      case kLongBlockDevice:
      case kLongCharDevice:
        return Skip(28);
      case kFifo:
      case kSocket:
        return Skip(20);
      case kLongFifo:
      case kLongSocket:
        return Skip(24);
      case kLongDirectory:
        return LongDirectory();
    }
    return NotThere();
  }

  absl::Status LongDirectory() {
    if (!Has(40)) return NotThere();
    const uint64_t entries = Field(32, 2);
    SHOAL_RETURN_IF_ERROR(Skip(40));
    for (uint64_t i = 0; i < entries; ++i) {
      if (!Has(12)) return NotThere();
      SHOAL_RETURN_IF_ERROR(Skip(12 + Field(8, 4) + 1));
    }
    return absl::OkStatus();
  }

  absl::Status FileBlocks(const File& file) {
    uint64_t blocks = file.size / block_size_;
    if (file.fragment == kNoFragment && file.size % block_size_ != 0) ++blocks;
    if (blocks > table_.size() / 4 || !Has(file.header + blocks * 4))
      return NotThere();
    uint64_t place = file.start, left = file.size;
    for (uint64_t i = 0; i < blocks; ++i) {
      const auto length = static_cast<uint32_t>(Field(file.header + i * 4, 4));
      const auto raw =
          static_cast<uint32_t>(std::min<uint64_t>(block_size_, left));
      const uint32_t stored = length & ~kBlockStoredRaw;
      left -= raw;
      // Length 0: a hole. Never compressed to more than it was.
      if (stored != 0 && !(length & kBlockStoredRaw))
        SHOAL_RETURN_IF_ERROR(block_(place, stored, raw));
      place += stored;
    }
    return Skip(file.header + blocks * 4);
  }

  std::string_view table_;
  const uint32_t block_size_;
  const std::function<absl::Status(uint64_t, uint32_t, uint32_t)>& block_;
  size_t at_ = 0;
};

}  // namespace

absl::Status ForEachDataBlock(
    std::string_view table, uint32_t block_size,
    const std::function<absl::Status(uint64_t, uint32_t, uint32_t)>& block) {
  return InodeWalk(table, block_size, block).Run();
}

}  // namespace shoal::delta
