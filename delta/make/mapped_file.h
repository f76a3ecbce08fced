// A whole file mapped read-only.
#ifndef SHOAL_DELTA_MAKE_MAPPED_FILE_H_
#define SHOAL_DELTA_MAKE_MAPPED_FILE_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace shoal::delta {

// Thread-safe. The file must not shrink while it is mapped (SIGBUS).
class MappedFile {
 public:
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(
      const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::string_view bytes() const { return bytes_; }
  // Gives the pages back that this process has touched; they stay in the page
  // cache and come again when touched. Keeps the resident size small while
  // large images are gone through.
  void Release() const;

 private:
  explicit MappedFile(std::string_view bytes) : bytes_(bytes) {}
  std::string_view bytes_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_MAPPED_FILE_H_
