// A release log in a directory that is served to everybody: entries, tiles, and
// `size`, which is written last, so that after a crash the old size holds and
// what lies behind it is written again, the same.
#ifndef SHOAL_SIGNING_LOG_DIRECTORY_H_
#define SHOAL_SIGNING_LOG_DIRECTORY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/files.h"
#include "signing/log/merkle.h"

namespace shoal::signing {

// One thread.
class LogDirectory {
 public:
  // `fs` outlives it. Made when missing; without a readable size it is empty.
  static absl::StatusOr<std::unique_ptr<LogDirectory>> Open(
      FileSystem& fs, const std::string& directory);

  uint64_t size() const { return size_; }
  // Of what is written.
  ReadLogNode Nodes() const;
  absl::StatusOr<std::string> Root() const;

  // The files as they are once `leaves` came behind the log; nothing is
  // written.
  struct Extension {
    uint64_t size = 0;
    std::string root;
    std::map<std::string, std::string> files;  // name → bytes
  };
  absl::StatusOr<Extension> Extend(
      const std::vector<std::string>& leaves) const;
  absl::Status Write(const Extension& extension);

  // "entries/N", "tile/L/N"; kNotFound.
  absl::StatusOr<std::string> File(const std::string& name) const;
  // Forgets everything: the log begins anew (another log under a new key).
  absl::Status Clear();

 private:
  LogDirectory(FileSystem& fs, std::string directory)
      : fs_(fs), directory_(std::move(directory)) {}
  FileSystem& fs_;
  const std::string directory_;
  uint64_t size_ = 0;
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_LOG_DIRECTORY_H_
