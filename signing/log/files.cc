#include "signing/log/files.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/log/leaf.h"

namespace shoal::signing {
namespace {

constexpr size_t kHash = crypto::kSha256Size;
constexpr size_t kMaxTiles = 256;

absl::Status BadEntries(std::string_view what) {
  return InvalidArgument("bad_log_entries", what);
}

}  // namespace

std::string LogEntriesName(uint64_t bundle) {
  return fmt::format("entries/{}", bundle);
}
std::string LogTileName(int level, uint64_t index) {
  return fmt::format("tile/{}/{}", level, index);
}
std::string LogProofName(std::string_view root) {
  return "proof/" + HexEncode(root);
}

std::string LogTimestampName(uint64_t version) {
  return fmt::format("timestamp/{}", version);
}

std::string EncodeLogEntries(const std::vector<std::string>& leaves) {
  std::string bytes;
  for (const std::string& leaf : leaves) {
    AppendBigEndian(bytes, leaf.size(), 2);
    bytes += leaf;
  }
  return bytes;
}

absl::StatusOr<std::vector<std::string>> ParseLogEntries(
    std::string_view bytes) {
  if (bytes.size() > kMaxLogBundleBytes) return BadEntries("too large");
  std::vector<std::string> leaves;
  while (!bytes.empty()) {
    if (leaves.size() == kLogBundle) return BadEntries("more than 64 leaves");
    if (bytes.size() < 2) return BadEntries("cut off");
    const size_t size = ReadBigEndian(bytes, 2);
    bytes.remove_prefix(2);
    if (size == 0 || size > kMaxLogLeafBytes || size > bytes.size())
      return BadEntries("a leaf of impossible size");
    leaves.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  return leaves;
}

ReadLogNode NodesFromTiles(
    std::function<absl::StatusOr<std::string>(const std::string&)> fetch) {
  auto tiles = std::make_shared<std::map<std::string, std::string>>();
  return [fetch = std::move(fetch), tiles](
             int level, uint64_t index) -> absl::StatusOr<std::string> {
    const int height = level % kLogTileLevels;
    const uint64_t first = index << height;
    const std::string name =
        LogTileName(level / kLogTileLevels, first / kLogTile);
    auto tile = tiles->find(name);
    if (tile == tiles->end()) {
      if (tiles->size() >= kMaxTiles)
        return InvalidArgument("bad_log_proof", "too many tiles");
      SHOAL_ASSIGN_OR_RETURN(std::string bytes, fetch(name));
      if (bytes.size() > kMaxLogTileBytes)
        return InvalidArgument("bad_log_proof", name + " is too large");
      tile = tiles->emplace(name, std::move(bytes)).first;
    }
    const size_t from = first % kLogTile * kHash;
    const size_t count = size_t{1} << height;
    if (tile->second.size() < from + count * kHash)
      return NotFound("log_incomplete", name + " is not long enough yet");
    std::vector<std::string> hashes;
    for (size_t i = 0; i < count; ++i)
      hashes.push_back(tile->second.substr(from + i * kHash, kHash));
    while (hashes.size() > 1) {
      for (size_t i = 0; i < hashes.size() / 2; ++i)
        hashes[i] = LogNodeHash(hashes[2 * i], hashes[2 * i + 1]);
      hashes.resize(hashes.size() / 2);
    }
    return hashes[0];
  };
}

absl::StatusOr<std::map<std::string, std::string>> TilesAfter(
    uint64_t size, const std::vector<std::string>& leaf_hashes,
    const ReadLogNode& read) {
  std::map<std::string, std::string> tiles;
  std::vector<std::string> fresh = leaf_hashes;
  for (int level = 0; !fresh.empty(); ++level) {
    const int node_level = level * kLogTileLevels;
    const uint64_t before = size >> node_level;
    uint64_t index = before;
    std::vector<std::string> next;
    std::string tile;
    for (uint64_t i = before / kLogTile * kLogTile; i < before; ++i) {
      SHOAL_ASSIGN_OR_RETURN(const std::string hash, read(node_level, i));
      tile += hash;
    }
    for (const std::string& hash : fresh) {
      tile += hash;
      ++index;
      const bool full = index % kLogTile == 0;
      if (!full && &hash != &fresh.back()) continue;
      const std::string name = LogTileName(level, (index - 1) / kLogTile);
      tiles[name] = tile;
      if (!full) continue;
      const ReadLogNode one = NodesFromTiles(
          [&](const std::string&) -> absl::StatusOr<std::string> {
            return tile;
          });
      // The upper half of the tree over a full tile, whatever its number.
      SHOAL_ASSIGN_OR_RETURN(const std::string left, one(7, 0));
      SHOAL_ASSIGN_OR_RETURN(const std::string right, one(7, 1));
      next.push_back(LogNodeHash(left, right));
      tile.clear();
    }
    fresh = std::move(next);
  }
  return tiles;
}

}  // namespace shoal::signing
