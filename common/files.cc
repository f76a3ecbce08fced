#include "common/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>

#include "common/status.h"

namespace shoal {
namespace {

std::string Parent(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status WriteAll(int fd, std::string_view content,
                      const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = write(fd, content.data(), content.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "write " + path);
    }
    content.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::string> Read(const std::string& path,
                                   uint64_t max_bytes) override {
    FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return ErrnoError(errno, "open " + path);
    std::string content;
    char buffer[65536];
    for (;;) {
      const ssize_t n = read(fd.get(), buffer, sizeof buffer);
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoError(errno, "read " + path);
      }
      if (n == 0) return content;
      if (content.size() + static_cast<size_t>(n) > max_bytes)
        return ResourceExhausted(
            "file_too_large",
            fmt::format("{} is larger than the {} bytes allowed here", path,
                        max_bytes));
      content.append(buffer, static_cast<size_t>(n));
    }
  }

  absl::Status WriteAtomic(const std::string& path, std::string_view content,
                           unsigned mode) override {
    static std::atomic<uint64_t> counter{0};
    const std::string temporary =
        fmt::format("{}.{}.{}.tmp", path, getpid(), counter++);
    absl::Status status = WriteSynced(temporary, content, mode);
    if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0)
      status = ErrnoError(errno, "rename to " + path);
    if (!status.ok()) {
      unlink(temporary.c_str());
      return status;
    }
    return SyncDirectory(Parent(path));
  }

  absl::Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) != 0) {
      if (errno == ENOENT) return absl::OkStatus();
      return ErrnoError(errno, "remove " + path);
    }
    return SyncDirectory(Parent(path));
  }

  absl::Status MakeDirectories(const std::string& path,
                               unsigned mode) override {
    struct stat info;
    if (stat(path.c_str(), &info) == 0) {
      if (S_ISDIR(info.st_mode)) return absl::OkStatus();
      return ErrnoError(ENOTDIR, "make directory " + path);
    }
    const std::string parent = Parent(path);
    if (parent != path) SHOAL_RETURN_IF_ERROR(MakeDirectories(parent, mode));
    if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
      return ErrnoError(errno, "make directory " + path);
    return SyncDirectory(parent);
  }

  absl::StatusOr<std::vector<std::string>> List(
      const std::string& path) override {
    DIR* directory = opendir(path.c_str());
    if (directory == nullptr) return ErrnoError(errno, "list " + path);
    std::vector<std::string> names;
    while (const dirent* entry = readdir(directory)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
  }

  bool Exists(const std::string& path) override {
    return access(path.c_str(), F_OK) == 0;
  }

  absl::StatusOr<uint64_t> Size(const std::string& path) override {
    struct stat info;
    if (stat(path.c_str(), &info) != 0)
      return ErrnoError(errno, "stat " + path);
    return static_cast<uint64_t>(info.st_size);
  }

 private:
  static absl::Status WriteSynced(const std::string& path,
                                  std::string_view content, unsigned mode) {
    FileDescriptor fd(
        open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (!fd.valid()) return ErrnoError(errno, "create " + path);
    SHOAL_RETURN_IF_ERROR(WriteAll(fd.get(), content, path));
    if (fsync(fd.get()) != 0) return ErrnoError(errno, "fsync " + path);
    return absl::OkStatus();
  }
};

}  // namespace

FileSystem& RealFileSystem() {
  static PosixFileSystem* const files = new PosixFileSystem;
  return *files;
}

absl::Status SyncDirectory(const std::string& path) {
  FileDescriptor fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open directory " + path);
  // Some file systems refuse fsync on a directory; they sync names themselves.
  if (fsync(fd.get()) != 0 && errno != EINVAL)
    return ErrnoError(errno, "fsync directory " + path);
  return absl::OkStatus();
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path.push_back('/');
  return path.append(name);
}

void FileDescriptor::Reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

}  // namespace shoal
