// For commands that look at what a running agent works with: everything can be
// read, and what a reader would tidy up stays as it is.
#ifndef SHOAL_AGENT_CLI_READ_ONLY_FILES_H_
#define SHOAL_AGENT_CLI_READ_ONLY_FILES_H_

#include <string>
#include <string_view>
#include <vector>

#include "common/files.h"

namespace shoal::agent {

class ReadOnlyFiles final : public FileSystem {
 public:
  absl::StatusOr<std::string> Read(const std::string& path,
                                   uint64_t max) override {
    return real_.Read(path, max);
  }
  absl::Status WriteAtomic(const std::string&, std::string_view,
                           unsigned) override {
    return absl::OkStatus();
  }
  absl::Status Remove(const std::string&) override { return absl::OkStatus(); }
  absl::Status MakeDirectories(const std::string&, unsigned) override {
    return absl::OkStatus();
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
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_CLI_READ_ONLY_FILES_H_
