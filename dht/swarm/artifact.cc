#include "dht/swarm/artifact.h"

#include <fmt/format.h>

#include <bit>

#include "common/status.h"

namespace shoal::dht {

absl::Status ValidateArtifact(const Artifact& artifact) {
  constexpr std::string_view kReason = "bad_artifact";
  if (artifact.file_root.size() != 32) {
    return InvalidArgument(kReason,
                           fmt::format("the file root has {} bytes, not 32",
                                       artifact.file_root.size()));
  }
  if (artifact.sha256.size() != 32) {
    return InvalidArgument(
        kReason,
        fmt::format("the sha256 has {} bytes, not 32", artifact.sha256.size()));
  }
  if (artifact.length < 1 || artifact.length > kMaxArtifactLength) {
    return InvalidArgument(
        kReason, fmt::format("length {} is not in 1…{}", artifact.length,
                             kMaxArtifactLength));
  }
  if (artifact.piece_length < kMinPieceLength ||
      artifact.piece_length > kMaxPieceLength ||
      !std::has_single_bit(artifact.piece_length)) {
    return InvalidArgument(
        kReason,
        fmt::format("piece length {} is no power of two in {}…{}",
                    artifact.piece_length, kMinPieceLength, kMaxPieceLength));
  }
  // One bit and 64 bytes of hash tree a piece: keeps both bounded.
  if (artifact.length / artifact.piece_length > 1u << 20) {
    return InvalidArgument(kReason,
                           fmt::format("{} bytes are too many pieces of {}",
                                       artifact.length, artifact.piece_length));
  }
  return absl::OkStatus();
}

}  // namespace shoal::dht
