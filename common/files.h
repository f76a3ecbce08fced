// Files with the guarantees that crash safety needs. An interface, so that
// tests can drop unsynced writes or fill the disk (tests/support).
#ifndef SHOAL_COMMON_FILES_H_
#define SHOAL_COMMON_FILES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal {

// Thread-safe. Errors are ErrnoError's.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // The whole file. More than `max_bytes`: kResourceExhausted "file_too_large"
  // without reading it.
  virtual absl::StatusOr<std::string> Read(const std::string& path,
                                           uint64_t max_bytes) = 0;

  // Replaces `path` so that a crash at any moment leaves the old or the new
  // content: temporary file in the same directory, write, fsync, rename,
  // fsync of the directory. On return the content is on disk.
  virtual absl::Status WriteAtomic(const std::string& path,
                                   std::string_view content,
                                   unsigned mode = 0644) = 0;

  // Removes a file and syncs its directory; OK when there was none.
  virtual absl::Status Remove(const std::string& path) = 0;

  // Makes `path` and its missing parents.
  virtual absl::Status MakeDirectories(const std::string& path,
                                       unsigned mode = 0755) = 0;

  // Names of the entries (without . and ..), sorted.
  virtual absl::StatusOr<std::vector<std::string>> List(
      const std::string& path) = 0;

  virtual bool Exists(const std::string& path) = 0;
  virtual absl::StatusOr<uint64_t> Size(const std::string& path) = 0;
};

FileSystem& RealFileSystem();

// fsync of a directory, so that a rename or a new name in it is durable.
absl::Status SyncDirectory(const std::string& path);

// "a/b" from "a" and "b".
std::string JoinPath(std::string_view directory, std::string_view name);

// Owns a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.Release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  ~FileDescriptor() { Reset(-1); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void Reset(int fd);

 private:
  int fd_ = -1;
};

}  // namespace shoal

#endif  // SHOAL_COMMON_FILES_H_
