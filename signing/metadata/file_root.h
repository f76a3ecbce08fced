// The Merkle root of a file as BitTorrent v2 defines it (BEP 52, "pieces
// root"): SHA-256 over blocks of 16 KiB as leaves (the last one as short as it
// is), the leaves filled up with 32 zero bytes to a power of two.
#ifndef SHOAL_SIGNING_METADATA_FILE_ROOT_H_
#define SHOAL_SIGNING_METADATA_FILE_ROOT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/crypto/hash.h"

namespace shoal::signing {

inline constexpr uint64_t kLeafBlock = 16384;

// 16 KiB for files up to 64 MiB, then doubled with every doubling of the size.
uint64_t PieceLength(uint64_t file_size);

// One thread. Memory: 32 bytes per piece and per tree level.
class FileRootHasher {
 public:
  // With a piece length (a power of two ≥ 16384) PieceLayer() is kept too.
  explicit FileRootHasher(uint64_t piece_length = 0);
  void Update(std::string_view bytes);
  // 32 bytes; "" for an empty file, which has no root. Call once.
  std::string Finish();
  // After Finish(): the hash of every piece, BEP 52's "piece layers" entry.
  // Empty when the file has only one piece.
  const std::vector<std::string>& piece_layer() const { return piece_layer_; }

 private:
  void AddLeaf(std::string hash);
  void Record(size_t level, const std::string& hash);
  struct Node {
    size_t level;
    std::string hash;
  };
  crypto::Sha256 block_;
  uint64_t block_size_ = 0;
  uint64_t leaves_ = 0;
  int piece_level_ = -1;
  std::vector<Node> stack_;  // complete subtrees, left to right
  std::vector<std::string> piece_layer_;
};

// Everything that signed metadata says about a file's bytes, in one pass.
struct FileDigests {
  uint64_t length = 0;
  std::string sha256;     // 32 bytes
  std::string file_root;  // 32 bytes; "" when empty
  uint64_t piece_length = 0;
};
// `progress`, if any, is called after each MiB or so with the bytes done.
// The file system's errors.
absl::StatusOr<FileDigests> DigestFile(
    const std::string& path,
    const std::function<void(uint64_t)>& progress = nullptr);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_METADATA_FILE_ROOT_H_
