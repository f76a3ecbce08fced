// Applies classic BSDIFF40 patches (delta/format/bsdiff40.h) as a stream. The
// three streams of such a patch are read side by side, so the patch is read by
// position; the base too, and the result is written in order. It cannot be
// resumed, and as the format holds no digest of the base, the caller checks
// the base; a wrong one is only noticed by the result's digest.
#ifndef SHOAL_DELTA_APPLY_BSDIFF40_H_
#define SHOAL_DELTA_APPLY_BSDIFF40_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "delta/format/bsdiff40.h"

namespace shoal::delta {

// Three bzip2 decoders in their small form, and buffers.
inline constexpr uint64_t kBsdiff40Memory = 7680u << 10;

struct Bsdiff40Options {
  // Exactly `size` bytes at `offset`.
  using ReadAt =
      std::function<absl::Status(uint64_t offset, char* buffer, size_t size)>;
  ReadAt read_patch;
  uint64_t patch_size = 0;
  ReadAt read_old;
  uint64_t old_size = 0;
  std::function<absl::Status(std::string_view bytes)> write_new;  // appends

  uint64_t expected_size = 0;  // of the result, from signed metadata
  // Of the result, 32 bytes; empty: the caller checks the digest itself.
  std::string expected_sha256;
  uint64_t max_memory = kBsdiff40Memory;

  std::function<absl::Status(uint64_t written)> progress;  // optional
  const std::atomic<bool>* cancel = nullptr;               // optional
};

// Reasons, beside those that a callback returns: wrong_result, delta_corrupt,
// delta_truncated, delta_too_large, delta_memory, cancelled (see apply.h).
absl::Status ApplyBsdiff40(const Bsdiff40Options& options);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_APPLY_BSDIFF40_H_
