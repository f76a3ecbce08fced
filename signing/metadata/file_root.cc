#include "signing/metadata/file_root.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "common/files.h"
#include "common/status.h"

namespace shoal::signing {
namespace {

std::string Parent(const std::string& left, const std::string& right) {
  return crypto::Sha256Digest(left + right);
}

}  // namespace

uint64_t PieceLength(uint64_t file_size) {
  uint64_t piece = kLeafBlock;
  uint64_t limit = uint64_t{64} << 20;
  while (file_size > limit && limit <= (uint64_t{1} << 62)) {
    piece *= 2;
    limit *= 2;
  }
  return piece;
}

FileRootHasher::FileRootHasher(uint64_t piece_length) {
  if (piece_length >= kLeafBlock)
    piece_level_ = std::countr_zero(piece_length / kLeafBlock);
}

void FileRootHasher::Update(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t n = std::min<uint64_t>(bytes.size(), kLeafBlock - block_size_);
    block_.Update(bytes.substr(0, n));
    block_size_ += n;
    bytes.remove_prefix(n);
    if (block_size_ == kLeafBlock) {
      block_size_ = 0;
      AddLeaf(block_.Finish());
    }
  }
}

void FileRootHasher::Record(size_t level, const std::string& hash) {
  if (piece_level_ >= 0 && level == static_cast<size_t>(piece_level_))
    piece_layer_.push_back(hash);
}

void FileRootHasher::AddLeaf(std::string hash) {
  ++leaves_;
  Record(0, hash);
  Node node{0, std::move(hash)};
  while (!stack_.empty() && stack_.back().level == node.level) {
    node = {node.level + 1, Parent(stack_.back().hash, node.hash)};
    stack_.pop_back();
    Record(node.level, node.hash);
  }
  stack_.push_back(std::move(node));
}

std::string FileRootHasher::Finish() {
  if (block_size_ > 0) {
    block_size_ = 0;
    AddLeaf(block_.Finish());
  }
  if (leaves_ == 0) return "";
  // Fill up on the right with subtrees of zero leaves, smallest first; pads[i]
  // is the root of such a subtree of height i. A piece that the file ends in
  // is padded like any other, so it is recorded here.
  std::string pad(crypto::kSha256Size, '\0');
  size_t level = 0;
  const size_t height = static_cast<size_t>(std::bit_width(leaves_ - 1));
  Node node = std::move(stack_.back());
  stack_.pop_back();
  const auto raise_pad_to = [&](size_t wanted) {
    for (; level < wanted; ++level) pad = Parent(pad, pad);
  };
  while (node.level < height) {
    if (!stack_.empty() && stack_.back().level == node.level) {
      node = {node.level + 1, Parent(stack_.back().hash, node.hash)};
      stack_.pop_back();
    } else {
      raise_pad_to(node.level);
      node = {node.level + 1, Parent(node.hash, pad)};
    }
    Record(node.level, node.hash);
  }
  // One piece: its root is the file's, and BEP 52 leaves the layer out.
  if (piece_layer_.size() <= 1) piece_layer_.clear();
  return node.hash;
}

absl::StatusOr<FileDigests> DigestFile(
    const std::string& path, const std::function<void(uint64_t)>& progress) {
  FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  FileDigests digests;
  crypto::Sha256 whole;
  FileRootHasher root;
  std::string buffer(1 << 20, '\0');
  for (;;) {
    const ssize_t n = read(fd.get(), buffer.data(), buffer.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "read " + path);
    }
    if (n == 0) break;
    const std::string_view bytes(buffer.data(), static_cast<size_t>(n));
    whole.Update(bytes);
    root.Update(bytes);
    digests.length += bytes.size();
    if (progress) progress(digests.length);
  }
  digests.sha256 = whole.Finish();
  digests.file_root = root.Finish();
  digests.piece_length = PieceLength(digests.length);
  return digests;
}

}  // namespace shoal::signing
