#include "signing/tool/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "common/bytes.h"
#include "common/files.h"
#include "common/status.h"

namespace shoal::signing {
namespace {

constexpr uint64_t kProgressStep = uint64_t{64} << 20;

absl::Status WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "write " + path);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::StatusOr<FileDigests> CopyTo(int in, int out, const std::string& from,
                                   const std::string& to, uint64_t size) {
  FileDigests digests;
  crypto::Sha256 whole;
  FileRootHasher root;
  std::string buffer(1 << 20, '\0');
  uint64_t shown = 0;
  for (;;) {
    const ssize_t n = read(in, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read " + from);
    if (n == 0) break;
    const std::string_view bytes(buffer.data(), static_cast<size_t>(n));
    whole.Update(bytes);
    root.Update(bytes);
    SHOAL_RETURN_IF_ERROR(WriteAll(out, bytes, to));
    digests.length += bytes.size();
    if (digests.length - shown >= kProgressStep) {
      shown = digests.length;
      fprintf(stderr, "%s of %s\n", HumanBytes(shown).c_str(),
              HumanBytes(size).c_str());
    }
  }
  if (digests.length == 0)
    return InvalidArgument("empty_image", from + " is empty");
  digests.sha256 = whole.Finish();
  digests.file_root = root.Finish();
  digests.piece_length = PieceLength(digests.length);
  if (fsync(out) != 0) return ErrnoError(errno, "fsync " + to);
  return digests;
}

}  // namespace

absl::StatusOr<FileDigests> CopyDigested(
    const std::string& from, const std::string& directory,
    const std::function<std::string(const FileDigests&)>& name) {
  FileDescriptor in(open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in.valid()) return ErrnoError(errno, "open " + from);
  struct stat info;
  if (fstat(in.get(), &info) != 0) return ErrnoError(errno, "stat " + from);
  if (!S_ISREG(info.st_mode))
    return InvalidArgument("not_a_file", from + " is not a regular file");
  SHOAL_RETURN_IF_ERROR(RealFileSystem().MakeDirectories(directory));
  const std::string temporary =
      JoinPath(directory, ".copy." + std::to_string(getpid()));
  FileDescriptor out(
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!out.valid()) return ErrnoError(errno, "create " + temporary);
  auto digests = CopyTo(in.get(), out.get(), from, temporary,
                        static_cast<uint64_t>(info.st_size));
  absl::Status status = digests.status();
  if (status.ok()) {
    const std::string path = JoinPath(directory, name(*digests));
    if (rename(temporary.c_str(), path.c_str()) != 0)
      status = ErrnoError(errno, "rename to " + path);
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  SHOAL_RETURN_IF_ERROR(SyncDirectory(directory));
  return digests;
}

}  // namespace shoal::signing
