// The inode table of squashfs 4.0: which data blocks there are.
#ifndef SHOAL_DELTA_IMAGE_ANALYZE_SQUASHFS_INODES_H_
#define SHOAL_DELTA_IMAGE_ANALYZE_SQUASHFS_INODES_H_

#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/status/status.h"

namespace shoal::delta {

// In a block's or fragment's length: it is stored as it is.
inline constexpr uint32_t kBlockStoredRaw = 1u << 24;

// Calls `block(place, stored, raw)` for each compressed data block of each
// file in the expanded inode table `table`. "not_there" when the table makes
// no sense; an error of `block` ends the walk.
absl::Status ForEachDataBlock(
    std::string_view table, uint32_t block_size,
    const std::function<absl::Status(uint64_t place, uint32_t stored,
                                     uint32_t raw)>& block);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_ANALYZE_SQUASHFS_INODES_H_
