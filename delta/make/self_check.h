// The last step of making: apply the patch as a device would and compare.
#ifndef SHOAL_DELTA_MAKE_SELF_CHECK_H_
#define SHOAL_DELTA_MAKE_SELF_CHECK_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "delta/make/mapped_file.h"

namespace shoal::delta {

// Applies the patch, of either format, in this process and compares each byte
// with the new image. Reasons: "delta_self_check", "cancelled", I/O errors.
// `cancel` may be null. `progress`: bytes compared, now and then.
absl::Status SelfCheck(const std::string& patch_path,
                       const std::string& new_sha256,
                       const MappedFile& old_file, const MappedFile& new_file,
                       const std::atomic<bool>* cancel,
                       const std::function<void(uint64_t written)>& progress);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_SELF_CHECK_H_
