// Merkle trees as RFC 9162 (and RFC 6962 before it) hashes them: of SHA-256,
// leaves and nodes told apart by a first byte. Proofs are made from the hashes
// of complete subtrees, wherever these are kept, and checked from nothing.
// Pure and thread-safe. Hashes are 32 raw bytes throughout.
#ifndef SHOAL_SIGNING_LOG_MERKLE_H_
#define SHOAL_SIGNING_LOG_MERKLE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal::signing {

using HashPath = std::vector<std::string>;

// Bounds every number below, and with it the length of every path: 2^40.
inline constexpr uint64_t kMaxLogSize = uint64_t{1} << 40;
inline constexpr size_t kMaxLogPath = 80;

std::string LogLeafHash(std::string_view leaf);
std::string LogNodeHash(std::string_view left, std::string_view right);

// The hash of the complete subtree over the leaves [index · 2^level,
// (index + 1) · 2^level); level 0: a leaf's hash.
using ReadLogNode =
    std::function<absl::StatusOr<std::string>(int level, uint64_t index)>;

// Of the first `size` leaves; 0: the hash of nothing. Errors are the reader's.
absl::StatusOr<std::string> LogRoot(uint64_t size, const ReadLogNode& read);
// Section 2.1.3.1. index < size.
absl::StatusOr<HashPath> InclusionPath(uint64_t index, uint64_t size,
                                       const ReadLogNode& read);
// Section 2.1.4.1. 0 < from <= to.
absl::StatusOr<HashPath> ConsistencyPath(uint64_t from, uint64_t to,
                                         const ReadLogNode& read);
// The same with the node that the RFC leaves out when `from` is a power of two
// and less than `to`.
absl::StatusOr<HashPath> PrefixPath(uint64_t from, uint64_t to,
                                    const ReadLogNode& read);

// "bad_log_proof" (kInvalidArgument) unless the path proves it.
absl::Status VerifyInclusion(std::string_view leaf_hash, uint64_t index,
                             uint64_t size, const HashPath& path,
                             std::string_view root);
absl::Status VerifyConsistency(uint64_t from, std::string_view from_root,
                               uint64_t to, std::string_view to_root,
                               const HashPath& path);

// The root of the first `from` leaves of the tree (to, to_root), by a path of
// PrefixPath: another root than one remembered proves that the tree was forked.
// A path that is not of this tree is "bad_log_proof" and says nothing.
absl::StatusOr<std::string> RootOfPrefix(uint64_t from, uint64_t to,
                                         std::string_view to_root,
                                         const HashPath& path);

// The right edge of a tree that grows.
class LogFrontier {
 public:
  // Takes every complete subtree that a leaf completes, the leaf first.
  using Sink =
      std::function<void(int level, uint64_t index, const std::string& hash)>;

  LogFrontier() = default;
  static absl::StatusOr<LogFrontier> Read(uint64_t size,
                                          const ReadLogNode& read);

  void Append(std::string leaf_hash, const Sink& sink);
  uint64_t size() const { return size_; }
  std::string Root() const;

 private:
  uint64_t size_ = 0;
  std::vector<std::string> peaks_;  // largest first
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_LOG_MERKLE_H_
