// A disk of so many bytes: what does not fit beside the rest is "disk_full".
#ifndef SHOAL_TESTS_UNIT_SIGNING_SMALL_DISK_H_
#define SHOAL_TESTS_UNIT_SIGNING_SMALL_DISK_H_

#include <cerrno>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/files.h"
#include "common/status.h"

namespace shoal::testing {

class SmallDisk final : public FileSystem {
 public:
  uint64_t capacity = UINT64_MAX;

  uint64_t used() const {
    uint64_t bytes = 0;
    for (const auto& [path, size] : sizes_) bytes += size;
    return bytes;
  }
  absl::StatusOr<std::string> Read(const std::string& path,
                                   uint64_t max) override {
    return real_.Read(path, max);
  }
  // The old content is there until the new one is, as with a real one.
  absl::Status WriteAtomic(const std::string& path, std::string_view content,
                           unsigned mode) override {
    if (used() + content.size() > capacity)
      return ErrnoError(ENOSPC, "write " + path);
    sizes_[path] = content.size();
    return real_.WriteAtomic(path, content, mode);
  }
  absl::Status Remove(const std::string& path) override {
    sizes_.erase(path);
    return real_.Remove(path);
  }
  absl::Status MakeDirectories(const std::string& path,
                               unsigned mode) override {
    return real_.MakeDirectories(path, mode);
  }
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& path) override {
    return real_.List(path);
  }
  bool Exists(const std::string& path) override { return real_.Exists(path); }
  absl::StatusOr<uint64_t> Size(const std::string& path) override {
    return real_.Size(path);
  }

 private:
  FileSystem& real_ = RealFileSystem();
  std::map<std::string, uint64_t> sizes_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_UNIT_SIGNING_SMALL_DISK_H_
