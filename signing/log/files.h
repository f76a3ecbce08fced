// The log as files that anybody may serve and nobody need trust:
//   entries/N    leaves [64 N, 64 N + 64), or as many as there are yet
//   tile/L/N     hashes of the nodes [256 N, 256 N + 256) at level 8 L
//   proof/HEX    shoal.log.v1.LogProof under the head with this root
// A file only grows. docs/log.md is the byte-exact page.
#ifndef SHOAL_SIGNING_LOG_FILES_H_
#define SHOAL_SIGNING_LOG_FILES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "signing/log/merkle.h"

namespace shoal::signing {

inline constexpr uint64_t kLogBundle = 64;  // leaves
inline constexpr uint64_t kLogTile = 256;   // hashes
inline constexpr int kLogTileLevels = 8;
inline constexpr uint64_t kMaxLogTileBytes = kLogTile * 32;
inline constexpr uint64_t kMaxLogBundleBytes = 16'384;
inline constexpr uint64_t kMaxLogProofBytes = 16'384;

std::string LogEntriesName(uint64_t bundle);
std::string LogTileName(int level, uint64_t index);  // level of the tile
std::string LogProofName(std::string_view root);
// Timestamps of this version, where a source knows any: no file of a tree.
std::string LogTimestampName(uint64_t version);
// How many sources are asked for one thing at most.
inline constexpr size_t kMaxLogSources = 8;

// Leaves of a bundle, each after its length in 2 bytes, big endian.
std::string EncodeLogEntries(const std::vector<std::string>& leaves);
// "bad_log_entries": more than 64, an empty or cut one.
absl::StatusOr<std::vector<std::string>> ParseLogEntries(
    std::string_view bytes);

// Nodes out of tiles, each of which is asked for once. `fetch` answers the
// bytes of a tile; a tile without the node is kNotFound "log_incomplete".
// More than 256 tiles: "bad_log_proof". The result is for one thread.
ReadLogNode NodesFromTiles(
    std::function<absl::StatusOr<std::string>(const std::string& name)> fetch);

// The tiles that are new or longer after `leaves` (hashes) came behind `size`
// leaves: name → bytes. `read` answers nodes of the tree before.
absl::StatusOr<std::map<std::string, std::string>> TilesAfter(
    uint64_t size, const std::vector<std::string>& leaf_hashes,
    const ReadLogNode& read);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_LOG_FILES_H_
