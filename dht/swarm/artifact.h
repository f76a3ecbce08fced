// What names one artifact in the swarm: everything here comes from signed
// metadata, and the BitTorrent v2 info dictionary follows from it alone.
#ifndef SHOAL_DHT_SWARM_ARTIFACT_H_
#define SHOAL_DHT_SWARM_ARTIFACT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace shoal::dht {

// The longest artifact that is moved: 64 GiB.
inline constexpr uint64_t kMaxArtifactLength = uint64_t{64} << 30;
inline constexpr uint32_t kMinPieceLength = 16 * 1024;
inline constexpr uint32_t kMaxPieceLength = 64 * 1024 * 1024;

struct Artifact {
  std::string file_root;      // 32 bytes: BEP 52 "pieces root"
  uint32_t piece_length = 0;  // bytes; a power of two, kMin…kMaxPieceLength
  uint64_t length = 0;        // bytes; 1…kMaxArtifactLength
  std::string sha256;         // 32 bytes: of the whole file
};

// kInvalidArgument "bad_artifact" with the field that is out of range.
absl::Status ValidateArtifact(const Artifact& artifact);

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_ARTIFACT_H_
