// Applies a patch of either format to files.
#ifndef SHOAL_DELTA_TOOL_APPLY_FILE_H_
#define SHOAL_DELTA_TOOL_APPLY_FILE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace shoal::delta {

struct ApplyFileJob {
  std::string old_path, patch_path;
  std::string new_path;     // must not exist; gone again after an error
  uint64_t max_memory = 0;  // bytes
  std::function<void(uint64_t done, uint64_t total)> progress;  // optional
};
struct AppliedFile {
  uint64_t size = 0;
  std::string sha256;  // 32 bytes
};

// Trusts the patch's own header for the length and digest of the result;
// devices do not (shoal-patch). Errors: those of delta/apply, I/O errors.
absl::StatusOr<AppliedFile> ApplyFile(const ApplyFileJob& job);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_TOOL_APPLY_FILE_H_
