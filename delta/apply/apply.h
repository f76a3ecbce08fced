// Applies an SDELTA patch as a stream (docs/delta-format.md): the patch is
// read strictly forward, the base by position, the result is written strictly
// in order. No secret, no network, no thread; no exception leaves it (an
// allocation that fails is "delta_memory"; OpenSSL's own for a digest aborts).
//
// Memory: never more than the header states, which is known before the first of
// it is taken. A patch of plain images takes all of it at Run()'s start, before
// the base is read; later there are only digests and texts of states and
// errors, under 1 KiB at a time and given back at once. Of compressed images
// the codecs' states and blocks come and go within what is stated.
// tests/unit/delta/memory_test.cc counts every allocation.
//
//   ApplyOptions options;
//   options.read_patch = …; options.read_old = …; options.write_new = …;
//   options.old_size = …; options.expected_size = …;
//   options.expected_sha256 = …;
//   SHOAL_ASSIGN_OR_RETURN(auto applier, Applier::Create(std::move(options)));
//   SHOAL_RETURN_IF_ERROR(applier->Run());
//
// Reasons of errors, beside those that a callback returns:
//   wrong_base         the base's digest is not the patch's; nothing was
//                      written
//   wrong_result       the header is not of the expected result (nothing was
//                      written), or the digest of what was written differs
//   delta_corrupt      damaged or malformed patch
//   delta_truncated    the patch ends too early
//   delta_too_large    an instruction would write beyond the declared length
//   delta_memory       needs more memory than the caller grants
//   unsupported_delta  version, coding, model or window of a later release
//   image_map, image_memory  the maps of compressed images are malformed, or
//                      need more memory than the patch states
//   codec_differs      a codec library here would compress to other bytes than
//                      the result has; nothing was written
//   image_block        a block of the base does not expand, or one of the
//                      result came out in another length
//   bad_resume         the resume state is not of this patch or what was
//                      written is not there any more: start from the beginning
//   cancelled
#ifndef SHOAL_DELTA_APPLY_APPLY_H_
#define SHOAL_DELTA_APPLY_APPLY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "delta/format/format.h"

namespace shoal::delta {

inline constexpr uint64_t kDefaultMaxMemory = 8u << 20;

struct ApplyOptions {
  // At least one and at most `size` bytes into `buffer`; 0 at the end.
  std::function<absl::StatusOr<size_t>(char* buffer, size_t size)> read_patch;
  // Exactly `size` bytes of the base at `offset`; called only within old_size.
  std::function<absl::Status(uint64_t offset, char* buffer, size_t size)>
      read_old;
  // Appends to the result.
  std::function<absl::Status(std::string_view bytes)> write_new;
  // Reads back what was written; needed with resume_state only.
  std::function<absl::Status(uint64_t offset, char* buffer, size_t size)>
      read_new;

  uint64_t old_size = 0;  // bytes that read_old can give, at least the base
  uint64_t expected_size = 0;   // of the result, from signed metadata
  std::string expected_sha256;  // of the result, 32 bytes, from signed metadata
  uint64_t max_memory = kDefaultMaxMemory;  // bytes

  // A state that checkpoint() gave: goes on there. Everything written before
  // it must be on disk; it is read back and checked. The patch is read from
  // its beginning again.
  std::string resume_state;

  // All optional, called on the thread that runs Run(). An error ends Run().
  std::function<absl::Status(uint64_t written)> progress;  // every ~1 MiB
  // At each window boundary, after all bytes before it went to write_new. To
  // use it after a power failure, sync the result before storing `state`
  // (under 100 bytes).
  std::function<absl::Status(uint64_t written, const std::string& state)>
      checkpoint;
  const std::atomic<bool>* cancel = nullptr;
};

// One thread at a time.
class Applier {
 public:
  // Reads and checks the header; touches neither base nor result.
  static absl::StatusOr<std::unique_ptr<Applier>> Create(ApplyOptions options);
  ~Applier();

  const Header& header() const;
  // Where the first byte that Run() writes belongs; 0 without resume_state.
  uint64_t resume_offset() const;

  // Checks the base's digest, writes the result, checks its digest. Once only.
  absl::Status Run();

 private:
  class Impl;
  explicit Applier(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_APPLY_APPLY_H_
