// The patch while it is made: a temporary file beside its final name.
#ifndef SHOAL_DELTA_MAKE_PATCH_FILE_H_
#define SHOAL_DELTA_MAKE_PATCH_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/crypto/hash.h"
#include "common/files.h"

namespace shoal::delta {

// Not thread-safe. The file is gone unless Commit() succeeded.
class PatchFile {
 public:
  static absl::StatusOr<std::unique_ptr<PatchFile>> Create(
      const std::string& path);
  ~PatchFile();

  absl::Status Append(std::string_view bytes);
  // fsync, rename, fsync of the directory.
  absl::Status Commit();

  const std::string& temporary() const { return temporary_; }
  uint64_t size() const { return size_; }
  std::string Digest() { return digest_.Finish(); }  // once only

 private:
  PatchFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  std::string path_, temporary_;
  FileDescriptor fd_;
  uint64_t size_ = 0;
  crypto::Sha256 digest_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_PATCH_FILE_H_
