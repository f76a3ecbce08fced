#include "signing/client/target_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/target_check.h"

namespace shoal::signing {
namespace {

constexpr size_t kMaxNameBytes = 200;
constexpr std::string_view kTemporary = ".incoming-";

absl::Status WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "write " + path);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

// Whether `path` is this very file.
bool IsAt(const std::string& path, int fd) {
  struct stat open_file {};
  struct stat named {};
  return ::fstat(fd, &open_file) == 0 && S_ISREG(open_file.st_mode) &&
         ::lstat(path.c_str(), &named) == 0 &&
         open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

// A new file under its lock, so that nobody takes it for a leftover.
absl::StatusOr<FileDescriptor> Create(const std::string& directory,
                                      std::string& path) {
  for (;;) {
    path = JoinPath(directory, kTemporary) + "XXXXXX";
    FileDescriptor fd(::mkostemp(path.data(), O_CLOEXEC));
    if (!fd.valid()) return ErrnoError(errno, "create " + path);
    while (::flock(fd.get(), LOCK_EX) != 0)
      if (errno != EINTR) return ErrnoError(errno, "lock " + path);
    // Somebody may have removed it before it was locked.
    if (IsAt(path, fd.get())) return fd;
  }
}

}  // namespace

absl::Status TargetStore::RemoveLeftovers() const {
  FileSystem& fs = RealFileSystem();
  if (!fs.Exists(directory_)) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const auto names, fs.List(directory_));
  for (const std::string& name : names) {
    if (!name.starts_with(kTemporary)) continue;
    const std::string path = JoinPath(directory_, name);
    const FileDescriptor fd(
        ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd.valid() || !IsAt(path, fd.get()) ||
        ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
      continue;
    // Its maker may have given it its name by now.
    if (IsAt(path, fd.get()) && ::unlink(path.c_str()) != 0 && errno != ENOENT)
      return ErrnoError(errno, "remove " + path);
  }
  return absl::OkStatus();
}

std::string TargetStore::PathOf(std::string_view target_path) const {
  std::string name = PercentEncode(target_path);
  // "." and ".." are the only names that encoding leaves dangerous; a leading
  // dot is taken by temporary files.
  if (name.starts_with('.')) name.replace(0, 1, "%2E");
  if (name.empty() || name.size() > kMaxNameBytes)
    name = "%" + HexEncode(crypto::Sha256Digest(target_path));
  return JoinPath(directory_, name);
}

bool TargetStore::Has(const TargetFile& target) const {
  const FileDescriptor fd(
      ::open(PathOf(target.path).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return false;
  TargetCheck check(target);
  std::string buffer(1 << 16, '\0');
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) return check.Finish().ok();
    if (!check.Update({buffer.data(), static_cast<size_t>(n)}).ok())
      return false;
  }
}

absl::Status TargetStore::Add(const TargetFile& target, bool by_digest,
                              HttpFetcher& source) {
  SHOAL_RETURN_IF_ERROR(RealFileSystem().MakeDirectories(directory_));
  const std::string path = PathOf(target.path);
  std::string temporary;
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor fd,
                         Create(directory_, temporary));
  TargetCheck check(target);
  absl::Status status = source.StreamTarget(
      target, by_digest, [&](std::string_view bytes) -> absl::Status {
        SHOAL_RETURN_IF_ERROR(check.Update(bytes));
        return WriteAll(fd.get(), bytes, temporary);
      });
  if (status.ok()) status = check.Finish();
  if (status.ok() && (::fchmod(fd.get(), 0644) != 0 || ::fsync(fd.get()) != 0 ||
                      ::rename(temporary.c_str(), path.c_str()) != 0))
    status = ErrnoError(errno, "store " + path);
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncDirectory(directory_);
}

}  // namespace shoal::signing
