// Copies and checks images as streams, in constant memory.
#ifndef SHOAL_AGENT_INSTALL_IMAGE_FILE_H_
#define SHOAL_AGENT_INSTALL_IMAGE_FILE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal::agent {

// SHA-256 (32 bytes) of the first `length` bytes of a file or device.
// "short_image" (kDataLoss) when it has fewer.
absl::StatusOr<std::string> HashFile(const std::string& path, uint64_t length);

// OK when the first `length` bytes have this digest; kDataLoss
// "digest_mismatch" or "short_image". With `exact`, a longer file is
// "length_mismatch".
absl::Status VerifyFile(const std::string& path, uint64_t length,
                        const std::string& sha256, bool exact = true);

// Copies exactly `length` bytes to `to` (made, truncated), hashing what it
// reads and writes; fsync of file and directory before it returns. On a wrong
// digest the bytes stay there and the error is "digest_mismatch". `progress`
// may be empty; a true `cancel` ends it with "cancelled".
absl::Status CopyVerified(const std::string& from, const std::string& to,
                          uint64_t length, const std::string& sha256,
                          const std::function<void(uint64_t)>& progress = {},
                          const std::atomic<bool>* cancel = nullptr);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_INSTALL_IMAGE_FILE_H_
