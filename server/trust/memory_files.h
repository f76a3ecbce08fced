// A file system in memory: the plane's TUF client keeps its state there, so
// that a candidate repository is tried on a copy and thrown away.
#ifndef SHOAL_SERVER_TRUST_MEMORY_FILES_H_
#define SHOAL_SERVER_TRUST_MEMORY_FILES_H_

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/files.h"

namespace shoal::server {

// Thread-safe. Nothing in it is durable.
class MemoryFiles final : public FileSystem {
 public:
  MemoryFiles() = default;
  MemoryFiles(const MemoryFiles& other);

  absl::StatusOr<std::string> Read(const std::string& path,
                                   uint64_t max_bytes) override;
  absl::Status WriteAtomic(const std::string& path, std::string_view content,
                           unsigned mode) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status MakeDirectories(const std::string& path, unsigned mode) override;
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& path) override;
  bool Exists(const std::string& path) override;
  absl::StatusOr<uint64_t> Size(const std::string& path) override;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> files_;
  std::set<std::string> directories_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_TRUST_MEMORY_FILES_H_
