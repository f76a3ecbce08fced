#include "agent/install/image_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

constexpr size_t kChunk = 256 * 1024;

absl::StatusOr<FileDescriptor> OpenForReading(const std::string& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, fmt::format("open {}", path));
  return fd;
}

// Bytes read; 0 at the end.
absl::StatusOr<size_t> ReadSome(int fd, char* out, size_t size,
                                const std::string& path) {
  for (;;) {
    const ssize_t n = ::read(fd, out, size);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return ErrnoError(errno, fmt::format("read {}", path));
  }
}

absl::Status WriteAll(int fd, const char* data, size_t size,
                      const std::string& path) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, fmt::format("write {}", path));
    }
    data += n;
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status ShortImage(const std::string& path, uint64_t has, uint64_t needs) {
  return DataLoss("short_image", fmt::format("{} holds {} bytes, {} are needed",
                                             path, has, needs));
}

absl::Status Mismatch(const std::string& path, const std::string& is,
                      const std::string& should) {
  return DataLoss("digest_mismatch",
                  fmt::format("{} has SHA-256 {}, signed is {}", path,
                              HexEncode(is), HexEncode(should)));
}

}  // namespace

absl::StatusOr<std::string> HashFile(const std::string& path, uint64_t length) {
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenForReading(path));
  crypto::Sha256 hash;
  std::vector<char> buffer(kChunk);
  uint64_t done = 0;
  while (done < length) {
    const size_t want = std::min<uint64_t>(buffer.size(), length - done);
    SHOAL_ASSIGN_OR_RETURN(const size_t n,
                           ReadSome(fd.get(), buffer.data(), want, path));
    if (n == 0) return ShortImage(path, done, length);
    hash.Update({buffer.data(), n});
    done += n;
  }
  return hash.Finish();
}

absl::Status VerifyFile(const std::string& path, uint64_t length,
                        const std::string& sha256, bool exact) {
  if (exact) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0)
      return ErrnoError(errno, fmt::format("stat {}", path));
    if (S_ISREG(info.st_mode) && static_cast<uint64_t>(info.st_size) != length)
      return DataLoss("length_mismatch",
                      fmt::format("{} has {} bytes, signed are {}", path,
                                  info.st_size, length));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string digest, HashFile(path, length));
  if (digest != sha256) return Mismatch(path, digest, sha256);
  return absl::OkStatus();
}

absl::Status CopyVerified(const std::string& from, const std::string& to,
                          uint64_t length, const std::string& sha256,
                          const std::function<void(uint64_t)>& progress,
                          const std::atomic<bool>* cancel) {
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor in, OpenForReading(from));
  FileDescriptor out(
      ::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!out.valid()) return ErrnoError(errno, fmt::format("open {}", to));
  crypto::Sha256 hash;
  std::vector<char> buffer(kChunk);
  uint64_t done = 0;
  while (done < length) {
    if (cancel != nullptr && cancel->load())
      return MakeError(absl::StatusCode::kCancelled, "cancelled",
                       fmt::format("copy to {} was cancelled", to));
    const size_t want = std::min<uint64_t>(buffer.size(), length - done);
    SHOAL_ASSIGN_OR_RETURN(const size_t n,
                           ReadSome(in.get(), buffer.data(), want, from));
    if (n == 0) return ShortImage(from, done, length);
    hash.Update({buffer.data(), n});
    SHOAL_RETURN_IF_ERROR(WriteAll(out.get(), buffer.data(), n, to));
    done += n;
    if (progress) progress(done);
  }
  if (::fsync(out.get()) != 0)
    return ErrnoError(errno, fmt::format("fsync {}", to));
  if (const size_t slash = to.rfind('/'); slash != std::string::npos)
    SHOAL_RETURN_IF_ERROR(SyncDirectory(to.substr(0, slash)));
  const std::string digest = hash.Finish();
  if (digest != sha256) return Mismatch(from, digest, sha256);
  return absl::OkStatus();
}

}  // namespace shoal::agent
