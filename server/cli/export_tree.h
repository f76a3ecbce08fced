// Writes the stream of Releases/ExportRepository as a directory. File names
// come from the network: only relative paths of identifiers are taken (T34),
// and timestamp.json, which makes all the rest current, is put in place last.
#ifndef SHOAL_SERVER_CLI_EXPORT_TREE_H_
#define SHOAL_SERVER_CLI_EXPORT_TREE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/files.h"
#include "shoal/release/v1/release_service.pb.h"

namespace shoal::cli {

// One thread.
class ExportTree {
 public:
  ExportTree(FileSystem& fs, std::string directory);
  ~ExportTree();  // removes what was begun and not finished

  // "bad_path" (kInvalidArgument) for a path that could leave the directory,
  // "bad_stream" (kDataLoss) for parts out of order.
  absl::Status Add(const release::v1::ExportRepositoryResponse& part);
  // Every file is whole and on disk; "truncated" (kDataLoss) otherwise.
  absl::Status Finish();

  uint64_t files() const { return files_; }
  uint64_t bytes() const { return bytes_; }

 private:
  absl::Status Begin(const std::string& path);
  absl::Status Close();
  FileSystem& fs_;
  const std::string directory_;
  std::string path_;  // of the file being written, relative
  FileDescriptor file_;
  std::string timestamp_;  // temporary file, renamed by Finish()
  uint64_t files_ = 0;
  uint64_t bytes_ = 0;
};

// Whether `path` is "a/b/c" of identifiers (long ones allowed), no more than
// eight deep.
bool IsTreePath(std::string_view path);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_EXPORT_TREE_H_
