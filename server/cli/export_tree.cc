#include "server/cli/export_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "common/bytes.h"
#include "common/status.h"

namespace shoal::cli {
namespace {

constexpr char kTimestamp[] = "metadata/timestamp.json";
constexpr char kPartial[] = ".partial";

absl::Status WriteAll(int fd, std::string_view bytes, const std::string& what) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "write " + what);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    return ErrnoError(errno, "rename " + from);
  }
  return absl::OkStatus();
}

std::string Parent(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

}  // namespace

bool IsTreePath(std::string_view path) {
  int depth = 0;
  while (true) {
    const size_t slash = path.find('/');
    // HEXSHA256.NAME is longer than other names.
    if (++depth > 8 || !IsIdentifier(path.substr(0, slash), 200)) return false;
    if (slash == path.npos) return true;
    path.remove_prefix(slash + 1);
  }
}

ExportTree::ExportTree(FileSystem& fs, std::string directory)
    : fs_(fs), directory_(std::move(directory)) {}

ExportTree::~ExportTree() {
  if (file_.valid()) {
    ::unlink((JoinPath(directory_, path_) + kPartial).c_str());
  }
  if (!timestamp_.empty()) ::unlink(timestamp_.c_str());
}

absl::Status ExportTree::Begin(const std::string& path) {
  if (!IsTreePath(path)) {
    return InvalidArgument(
        "bad_path", fmt::format("'{}' is no path of a repository", path));
  }
  const std::string full = JoinPath(directory_, path);
  SHOAL_RETURN_IF_ERROR(fs_.MakeDirectories(Parent(full)));
  const int fd =
      ::open((full + kPartial).c_str(),
             O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return ErrnoError(errno, "create " + full);
  file_.Reset(fd);
  path_ = path;
  return absl::OkStatus();
}

absl::Status ExportTree::Add(
    const release::v1::ExportRepositoryResponse& part) {
  if (!part.path().empty()) {
    if (file_.valid()) {
      return DataLoss("bad_stream", path_ + " is followed before its end");
    }
    SHOAL_RETURN_IF_ERROR(Begin(part.path()));
  }
  if (!file_.valid()) return DataLoss("bad_stream", "bytes of no file");
  SHOAL_RETURN_IF_ERROR(WriteAll(file_.get(), part.chunk(), path_));
  bytes_ += part.chunk().size();
  return part.last() ? Close() : absl::OkStatus();
}

absl::Status ExportTree::Close() {
  const std::string full = JoinPath(directory_, path_);
  if (::fsync(file_.get()) != 0) return ErrnoError(errno, "fsync " + full);
  file_.Reset(-1);
  ++files_;
  if (path_ == kTimestamp) {
    timestamp_ = full + kPartial;
    return absl::OkStatus();
  }
  SHOAL_RETURN_IF_ERROR(Rename(full + kPartial, full));
  return SyncDirectory(Parent(full));
}

absl::Status ExportTree::Finish() {
  if (file_.valid()) {
    return DataLoss("truncated", path_ + " did not arrive whole");
  }
  if (timestamp_.empty()) {
    return DataLoss("truncated", "the export lacks timestamp.json");
  }
  const std::string full = JoinPath(directory_, kTimestamp);
  SHOAL_RETURN_IF_ERROR(Rename(timestamp_, full));
  timestamp_.clear();
  return SyncDirectory(Parent(full));
}

}  // namespace shoal::cli
