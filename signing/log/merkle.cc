#include "signing/log/merkle.h"

#include <bit>
#include <utility>

#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::signing {
namespace {

absl::Status Bad(std::string_view what) {
  return InvalidArgument("bad_log_proof", what);
}

// The largest power of two below `n` (n > 1): where the RFC splits a tree.
uint64_t Split(uint64_t n) { return std::bit_floor(n - 1); }

// MTH(D[begin:end]); `begin` is a multiple of the power of two that covers it.
absl::StatusOr<std::string> HashOf(uint64_t begin, uint64_t end,
                                   const ReadLogNode& read) {
  const uint64_t n = end - begin;
  if (std::has_single_bit(n)) return read(std::countr_zero(n), begin / n);
  const uint64_t k = Split(n);
  SHOAL_ASSIGN_OR_RETURN(const std::string left,
                         HashOf(begin, begin + k, read));
  SHOAL_ASSIGN_OR_RETURN(const std::string right, HashOf(begin + k, end, read));
  return LogNodeHash(left, right);
}

absl::Status AddInclusion(uint64_t index, uint64_t begin, uint64_t end,
                          const ReadLogNode& read, HashPath& path) {
  if (end - begin == 1) return absl::OkStatus();
  const uint64_t middle = begin + Split(end - begin);
  const bool left = index < middle;
  SHOAL_RETURN_IF_ERROR(AddInclusion(index, left ? begin : middle,
                                     left ? middle : end, read, path));
  SHOAL_ASSIGN_OR_RETURN(std::string other, left ? HashOf(middle, end, read)
                                                 : HashOf(begin, middle, read));
  path.push_back(std::move(other));
  return absl::OkStatus();
}

// SUBPROOF(from, D[begin:end], whole).
absl::Status AddConsistency(uint64_t from, uint64_t begin, uint64_t end,
                            bool whole, const ReadLogNode& read,
                            HashPath& path) {
  if (from == end) {
    if (whole) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(std::string hash, HashOf(begin, end, read));
    path.push_back(std::move(hash));
    return absl::OkStatus();
  }
  const uint64_t middle = begin + Split(end - begin);
  if (from <= middle) {
    SHOAL_RETURN_IF_ERROR(
        AddConsistency(from, begin, middle, whole, read, path));
    SHOAL_ASSIGN_OR_RETURN(std::string hash, HashOf(middle, end, read));
    path.push_back(std::move(hash));
    return absl::OkStatus();
  }
  SHOAL_RETURN_IF_ERROR(AddConsistency(from, middle, end, false, read, path));
  SHOAL_ASSIGN_OR_RETURN(std::string hash, HashOf(begin, middle, read));
  path.push_back(std::move(hash));
  return absl::OkStatus();
}

absl::Status CheckSizes(uint64_t from, uint64_t to, const HashPath& path) {
  if (from == 0 || from > to || to > kMaxLogSize)
    return Bad("sizes that no log has");
  if (path.size() > kMaxLogPath) return Bad("a path that is too long");
  for (const std::string& hash : path)
    if (hash.size() != crypto::kSha256Size) return Bad("a hash of other size");
  return absl::OkStatus();
}

// Both roots that a path gives, its first node included (section 2.1.4.2).
absl::StatusOr<std::pair<std::string, std::string>> BothRoots(
    uint64_t from, uint64_t to, const HashPath& path) {
  uint64_t fn = from - 1;
  uint64_t sn = to - 1;
  while (fn & 1) {
    fn >>= 1;
    sn >>= 1;
  }
  if (path.empty()) return Bad("an empty path");
  std::string fr = path[0];
  std::string sr = path[0];
  for (size_t i = 1; i < path.size(); ++i) {
    if (sn == 0) return Bad("a path that is too long");
    if ((fn & 1) || fn == sn) {
      fr = LogNodeHash(path[i], fr);
      sr = LogNodeHash(path[i], sr);
      while (!(fn & 1) && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      sr = LogNodeHash(sr, path[i]);
    }
    fn >>= 1;
    sn >>= 1;
  }
  if (sn != 0) return Bad("a path that is too short");
  return std::pair(std::move(fr), std::move(sr));
}

}  // namespace

std::string LogLeafHash(std::string_view leaf) {
  crypto::Sha256 hash;
  hash.Update(std::string_view("\0", 1));
  hash.Update(leaf);
  return hash.Finish();
}

std::string LogNodeHash(std::string_view left, std::string_view right) {
  crypto::Sha256 hash;
  hash.Update("\1");
  hash.Update(left);
  hash.Update(right);
  return hash.Finish();
}

absl::StatusOr<std::string> LogRoot(uint64_t size, const ReadLogNode& read) {
  if (size == 0) return crypto::Sha256Digest("");
  return HashOf(0, size, read);
}

absl::StatusOr<HashPath> InclusionPath(uint64_t index, uint64_t size,
                                       const ReadLogNode& read) {
  if (index >= size) return Bad("no such leaf");
  HashPath path;
  SHOAL_RETURN_IF_ERROR(AddInclusion(index, 0, size, read, path));
  return path;
}

absl::StatusOr<HashPath> ConsistencyPath(uint64_t from, uint64_t to,
                                         const ReadLogNode& read) {
  if (from == 0 || from > to) return Bad("no such trees");
  HashPath path;
  SHOAL_RETURN_IF_ERROR(AddConsistency(from, 0, to, true, read, path));
  return path;
}

absl::StatusOr<HashPath> PrefixPath(uint64_t from, uint64_t to,
                                    const ReadLogNode& read) {
  SHOAL_ASSIGN_OR_RETURN(HashPath path, ConsistencyPath(from, to, read));
  if (from < to && std::has_single_bit(from)) {
    SHOAL_ASSIGN_OR_RETURN(std::string first, HashOf(0, from, read));
    path.insert(path.begin(), std::move(first));
  }
  return path;
}

absl::Status VerifyInclusion(std::string_view leaf_hash, uint64_t index,
                             uint64_t size, const HashPath& path,
                             std::string_view root) {
  if (index >= size) return Bad("no such leaf");
  SHOAL_RETURN_IF_ERROR(CheckSizes(size, size, path));
  uint64_t fn = index;
  uint64_t sn = size - 1;
  std::string hash(leaf_hash);
  for (const std::string& other : path) {
    if (sn == 0) return Bad("a path that is too long");
    if ((fn & 1) || fn == sn) {
      hash = LogNodeHash(other, hash);
      while (!(fn & 1) && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      hash = LogNodeHash(hash, other);
    }
    fn >>= 1;
    sn >>= 1;
  }
  if (sn != 0) return Bad("a path that is too short");
  return hash == root ? absl::OkStatus() : Bad("the leaf is not in the log");
}

absl::StatusOr<std::string> RootOfPrefix(uint64_t from, uint64_t to,
                                         std::string_view to_root,
                                         const HashPath& path) {
  SHOAL_RETURN_IF_ERROR(CheckSizes(from, to, path));
  if (from == to) {
    if (!path.empty()) return Bad("a path between equal trees");
    return std::string(to_root);
  }
  SHOAL_ASSIGN_OR_RETURN(auto roots, BothRoots(from, to, path));
  if (roots.second != to_root) return Bad("the path is of another tree");
  return std::move(roots.first);
}

absl::Status VerifyConsistency(uint64_t from, std::string_view from_root,
                               uint64_t to, std::string_view to_root,
                               const HashPath& path) {
  HashPath whole = path;
  if (from < to && std::has_single_bit(from))
    whole.insert(whole.begin(), std::string(from_root));
  SHOAL_ASSIGN_OR_RETURN(const std::string root,
                         RootOfPrefix(from, to, to_root, whole));
  return root == from_root ? absl::OkStatus()
                           : Bad("the trees are not consistent");
}

absl::StatusOr<LogFrontier> LogFrontier::Read(uint64_t size,
                                              const ReadLogNode& read) {
  LogFrontier frontier;
  frontier.size_ = size;
  uint64_t begin = 0;
  for (int level = 63; level >= 0; --level) {
    const uint64_t width = uint64_t{1} << level;
    if (!(size & width)) continue;
    SHOAL_ASSIGN_OR_RETURN(std::string hash, read(level, begin / width));
    frontier.peaks_.push_back(std::move(hash));
    begin += width;
  }
  return frontier;
}

void LogFrontier::Append(std::string leaf_hash, const Sink& sink) {
  uint64_t index = size_++;
  sink(0, index, leaf_hash);
  for (int level = 0; index & 1; ++level) {
    leaf_hash = LogNodeHash(peaks_.back(), leaf_hash);
    peaks_.pop_back();
    index >>= 1;
    sink(level + 1, index, leaf_hash);
  }
  peaks_.push_back(std::move(leaf_hash));
}

std::string LogFrontier::Root() const {
  if (peaks_.empty()) return crypto::Sha256Digest("");
  std::string root = peaks_.back();
  for (size_t i = peaks_.size() - 1; i-- > 0;)
    root = LogNodeHash(peaks_[i], root);
  return root;
}

}  // namespace shoal::signing
