// squashfs 4.0, as the kernel's Documentation/filesystems/squashfs.rst and the
// headers of squashfs-tools describe it. All numbers least significant byte
// first. A file's data blocks stand one after the other from the place that
// its inode names; their lengths are in the inode too, so the inode table is
// read first.
#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <vector>

#include "common/status.h"
#include "delta/image/analyze/candidates.h"
#include "delta/image/analyze/squashfs_inodes.h"

namespace shoal::delta {
namespace {

constexpr size_t kSuperBlock = 96;
constexpr uint64_t kNone = UINT64_MAX;
constexpr uint16_t kHasOptions = 0x400;
constexpr size_t kMetadataBlock = 8192;
constexpr uint16_t kStoredRaw = 0x8000;
constexpr uint64_t kMaxTable = 256u << 20;  // expanded bytes of one table

struct SuperBlock {
  uint32_t inodes, block_size, fragments;
  uint16_t compression, flags, ids;
  uint64_t bytes, id_table, xattr_table, inode_table, directory_table,
      fragment_table, export_table;
};

absl::StatusOr<SuperBlock> ParseSuperBlock(std::string_view b) {
  const auto u16 = [&](size_t at) {
    return static_cast<uint16_t>(LittleEndian(b, at, 2));
  };
  const auto u32 = [&](size_t at) {
    return static_cast<uint32_t>(LittleEndian(b, at, 4));
  };
  const auto u64 = [&](size_t at) { return LittleEndian(b, at, 8); };
  if (b.size() != kSuperBlock || !b.starts_with("hsqs")) return NotThere();
  SuperBlock s{.inodes = u32(4),
               .block_size = u32(12),
               .fragments = u32(16),
               .compression = u16(20),
               .flags = u16(24),
               .ids = u16(26),
               .bytes = u64(40),
               .id_table = u64(48),
               .xattr_table = u64(56),
               .inode_table = u64(64),
               .directory_table = u64(72),
               .fragment_table = u64(80),
               .export_table = u64(88)};
  const bool version = u16(28) == 4 && u16(30) == 0;
  const bool block = s.block_size >= 4096 &&
                     s.block_size <= kMaxBufferedBlock && u16(22) < 32 &&
                     s.block_size == uint32_t{1} << u16(22);
  if (!version || !block || s.inode_table >= s.directory_table)
    return NotThere();
  return s;
}

// The settings that the file system's writer may have used, likeliest first.
std::vector<CodecSetting> LikelySettings(const SuperBlock& super,
                                         std::string_view options) {
  const auto option = [&](size_t at, int width, uint64_t otherwise) {
    return options.size() >= at + width ? LittleEndian(options, at, width)
                                        : otherwise;
  };
  std::vector<CodecSetting> settings;
  switch (super.compression) {
    case 1: {  // zlib; options: level, window, bits of strategies
      CodecSetting s{.codec = ImageCodec::kDeflate,
                     .level = static_cast<uint8_t>(option(0, 4, 9)),
                     .window = static_cast<uint8_t>(option(4, 2, 15)),
                     .memory = 8,
                     .wrapper = 1};
      settings.push_back(s);
      const uint64_t strategies = option(6, 2, 0);
      // default, filtered, huffman only, run length, fixed
      for (uint8_t i = 1; i < 5; ++i) {
        s.strategy = i;
        if (strategies >> i & 1) settings.push_back(s);
      }
      break;
    }
    case 4: {  // xz; options: dictionary, bits of BCJ filters
      CodecSetting s{
          .codec = ImageCodec::kXz,
          .level = 6,
          .check = 1,
          .dictionary = static_cast<uint32_t>(option(0, 4, super.block_size))};
      settings.push_back(s);
      const uint64_t filters = option(4, 4, 0);
      // x86, powerpc, ia64, arm, armthumb, sparc
      for (uint8_t i = 0; i < 6; ++i) {
        s.filter = 4 + i;
        if (filters >> i & 1) settings.push_back(s);
      }
      break;
    }
    case 5:  // lz4; options: version, bit 0 = high compression
      if (option(4, 4, 0) & 1) {
        settings.push_back({.codec = ImageCodec::kLz4Hc, .level = 12});
        settings.push_back({.codec = ImageCodec::kLz4Hc, .level = 9});
      } else {
        settings.push_back({.codec = ImageCodec::kLz4});
      }
      break;
    case 6:  // zstd; options: level
      settings.push_back({.codec = ImageCodec::kZstd,
                          .level = static_cast<uint8_t>(option(0, 4, 15))});
      break;
  }
  std::erase_if(settings,
                [](const CodecSetting& s) { return !CheckSetting(s).ok(); });
  return settings;
}

class SquashfsFinder {
 public:
  SquashfsFinder(const Source& source, uint64_t offset, Candidates& found)
      : source_(source), offset_(offset), found_(found) {}

  absl::StatusOr<uint64_t> Run() {
    SHOAL_ASSIGN_OR_RETURN(const std::string head,
                           source_.Bytes(offset_, kSuperBlock));
    SHOAL_ASSIGN_OR_RETURN(super_, ParseSuperBlock(head));
    if (super_.bytes < kSuperBlock || super_.bytes > source_.size - offset_)
      return NotThere();
    SHOAL_RETURN_IF_ERROR(AddFamilies());
    SHOAL_RETURN_IF_ERROR(Tables());
    SHOAL_RETURN_IF_ERROR(Inodes());
    SHOAL_RETURN_IF_ERROR(Fragments());
    found_.blocks.insert(found_.blocks.end(), blocks_.begin(), blocks_.end());
    return offset_ + super_.bytes;
  }

 private:
  absl::StatusOr<std::string> Bytes(uint64_t at, uint64_t length) const {
    if (at > super_.bytes || length > super_.bytes - at) return NotThere();
    return source_.Bytes(offset_ + at, length);
  }

  absl::Status AddFamilies() {
    std::string options;
    if (super_.flags & kHasOptions) {
      // One metadata block, never compressed.
      SHOAL_ASSIGN_OR_RETURN(const std::string header, Bytes(kSuperBlock, 2));
      const uint64_t length = LittleEndian(header, 0, 2) & ~kStoredRaw;
      SHOAL_ASSIGN_OR_RETURN(
          options, Bytes(kSuperBlock + 2, std::min<uint64_t>(length, 64)));
    }
    Family family{.likely = LikelySettings(super_, options),
                  .one_writer = true};
    if (family.likely.empty()) return NotThere();
    setting_ = family.likely[0];
    data_family_ = found_.families.size();
    found_.families.push_back(family);
    // mksquashfs compresses metadata with an xz dictionary of its own.
    CodecSetting metadata = setting_;
    if (metadata.codec == ImageCodec::kXz) {
      metadata.dictionary = kMetadataBlock;
      family.likely = {metadata, setting_};
    }
    found_.families.push_back(std::move(family));
    return absl::OkStatus();
  }

  absl::Status Add(uint64_t at, uint64_t stored, uint32_t most_raw,
                   size_t family) {
    if (at > super_.bytes || stored > super_.bytes - at) return NotThere();
    if (stored == 0 || stored > MaxStoredLength(most_raw)) return NotThere();
    if (blocks_.size() >= kMaxCandidates) return NotThere();
    blocks_.push_back({offset_ + at, stored, most_raw, family});
    return absl::OkStatus();
  }

  // One metadata block; where the next one starts. Appends its content to
  // `content` when that is wanted.
  absl::StatusOr<uint64_t> Metadata(uint64_t at, std::string* content) {
    SHOAL_ASSIGN_OR_RETURN(const std::string header, Bytes(at, 2));
    const auto word = static_cast<uint16_t>(LittleEndian(header, 0, 2));
    const uint64_t length = word & ~kStoredRaw;
    if (length == 0 || length > kMetadataBlock) return NotThere();
    if (!(word & kStoredRaw))
      SHOAL_RETURN_IF_ERROR(
          Add(at + 2, length, kMetadataBlock, data_family_ + 1));
    if (content != nullptr) {
      if (content->size() > kMaxTable) return NotThere();
      SHOAL_ASSIGN_OR_RETURN(const std::string stored, Bytes(at + 2, length));
      if (word & kStoredRaw) {
        *content += stored;
      } else {
        const auto n = codec_.ExpandUpTo(setting_, stored, expanded_.data(),
                                         expanded_.size());
        if (!n.ok()) return NotThere();
        content->append(expanded_.data(), *n);
      }
    }
    return at + 2 + length;
  }

  absl::Status MetadataRange(uint64_t at, uint64_t end, std::string* content) {
    while (at < end) {
      SHOAL_ASSIGN_OR_RETURN(at, Metadata(at, content));
    }
    return absl::OkStatus();
  }

  // A table whose blocks are named by a list of `blocks` places at `at`.
  absl::Status IndexedTable(uint64_t at, uint64_t blocks,
                            std::string* content) {
    starts_.insert(at);
    if (blocks > super_.bytes / 8) return NotThere();
    SHOAL_ASSIGN_OR_RETURN(const std::string list, Bytes(at, blocks * 8));
    for (uint64_t i = 0; i < blocks; ++i) {
      const uint64_t place = LittleEndian(list, i * 8, 8);
      starts_.insert(place);
      SHOAL_RETURN_IF_ERROR(Metadata(place, content).status());
    }
    return absl::OkStatus();
  }

  static uint64_t BlocksFor(uint64_t entries, uint64_t entry_size) {
    return (entries * entry_size + kMetadataBlock - 1) / kMetadataBlock;
  }

  absl::Status Tables() {
    SHOAL_RETURN_IF_ERROR(
        IndexedTable(super_.id_table, BlocksFor(super_.ids, 4), nullptr));
    if (super_.fragment_table != kNone && super_.fragments > 0)
      SHOAL_RETURN_IF_ERROR(IndexedTable(super_.fragment_table,
                                         BlocksFor(super_.fragments, 16),
                                         &fragment_entries_));
    if (super_.export_table != kNone)
      SHOAL_RETURN_IF_ERROR(IndexedTable(super_.export_table,
                                         BlocksFor(super_.inodes, 8), nullptr));
    if (super_.xattr_table != kNone) {
      SHOAL_ASSIGN_OR_RETURN(const std::string header,
                             Bytes(super_.xattr_table, 16));
      const uint64_t values = LittleEndian(header, 0, 8);
      const uint64_t ids = LittleEndian(header, 8, 4);
      starts_.insert(values);
      SHOAL_RETURN_IF_ERROR(
          IndexedTable(super_.xattr_table + 16, BlocksFor(ids, 16), nullptr));
      SHOAL_RETURN_IF_ERROR(MetadataRange(values, NextStart(values), nullptr));
    }
    return MetadataRange(super_.directory_table,
                         NextStart(super_.directory_table), nullptr);
  }

  // Where something else starts after `at`.
  uint64_t NextStart(uint64_t at) const {
    const auto next = starts_.upper_bound(at);
    return next == starts_.end() ? super_.bytes : std::min(*next, super_.bytes);
  }

  absl::Status Inodes() {
    std::string table;
    SHOAL_RETURN_IF_ERROR(
        MetadataRange(super_.inode_table, super_.directory_table, &table));
    return ForEachDataBlock(
        table, super_.block_size,
        [&](uint64_t at, uint32_t stored, uint32_t raw) -> absl::Status {
          // Files with equal content share their blocks.
          if (!seen_.insert(at).second) return absl::OkStatus();
          return Add(at, stored, raw, data_family_);
        });
  }

  absl::Status Fragments() {
    for (uint64_t i = 0; i < super_.fragments; ++i) {
      if (fragment_entries_.size() < (i + 1) * 16) return NotThere();
      const uint64_t at = LittleEndian(fragment_entries_, i * 16, 8);
      const auto size =
          static_cast<uint32_t>(LittleEndian(fragment_entries_, i * 16 + 8, 4));
      if (size & kBlockStoredRaw) continue;
      if (!seen_.insert(at).second) continue;
      SHOAL_RETURN_IF_ERROR(Add(at, size, super_.block_size, data_family_));
    }
    return absl::OkStatus();
  }

  const Source& source_;
  const uint64_t offset_;
  Candidates& found_;
  SuperBlock super_{};
  CodecSetting setting_;
  size_t data_family_ = 0;
  std::set<uint64_t> starts_, seen_;
  std::string fragment_entries_;
  std::vector<Candidate> blocks_;
  BlockCodec codec_;
  std::array<char, kMetadataBlock> expanded_;
};

}  // namespace

absl::StatusOr<uint64_t> FindSquashfs(const Source& source, uint64_t offset,
                                      Candidates& found) {
  const size_t families = found.families.size();
  auto end = SquashfsFinder(source, offset, found).Run();
  if (!end.ok()) found.families.resize(families);
  return end;
}

}  // namespace shoal::delta
