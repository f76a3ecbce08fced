// Makes SDELTA patches (build side). bsdiff's algorithm over suffix arrays of
// segments of the base, chosen by a coarse pass over the whole base, so that
// memory is bounded and moved content is still found:
// about threads × (6 × segment_size × 2) + base / 16, plus the two images
// mapped read-only (page cache, not anonymous memory).
#ifndef SHOAL_DELTA_MAKE_MAKE_H_
#define SHOAL_DELTA_MAKE_MAKE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "delta/format/format.h"

namespace shoal::delta {

enum class Format {
  kSdelta,    // docs/delta-format.md
  kBsdiff40,  // classic bsdiff: larger, no resuming, no digest of the base
};

struct MakeOptions {
  Format format = Format::kSdelta;
  // kModel: the smallest patches; content of which the model makes little is
  // coded by zstd where that is smaller. kZstd: fastest to make and to apply.
  Coding coding = Coding::kModel;
  // Bytes that applying may take on the device. Within it images are expanded
  // as far as it goes, then the model is as large as it can be, with smaller
  // windows where they must (none fits: kZstd). Unset: 8 MiB. The patch states
  // what it takes.
  std::optional<uint64_t> max_reader_memory;
  // Codec libraries that the device has, as delta/image's LibraryOf() names
  // them; only their blocks are expanded. Unset: the same as here.
  std::optional<std::set<std::string>> device_codecs;
  int threads = 2;     // 1..64
  bool expand = true;  // what the images hold in compressed form (delta/image)
  uint32_t window_size =
      kDefaultWindowSize;            // a power of two, see ReaderMemory()
  uint32_t segment_size = 4u << 20;  // 64 KiB..256 MiB
  int zstd_level = 19;               // 1..22
  // Applies the finished patch in memory and compares, before it gets its
  // name; a patch that this lets through is right.
  bool verify = true;
  const std::atomic<bool>* cancel = nullptr;  // optional
  // Optional; bytes of the new image done, of all, over all steps: it never
  // goes back, and ends with all of them when the patch is there. One thread
  // at a time.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

struct MakeStats {
  uint64_t old_size = 0;
  uint64_t new_size = 0;
  uint64_t patch_size = 0;
  std::string old_sha256;  // 32 bytes each
  std::string new_sha256;
  std::string patch_sha256;
  uint64_t windows = 0;
  uint64_t copied = 0;         // bytes of the result that are exact copies
  uint64_t reader_memory = 0;  // bytes that a device needs to apply it
  // What else it needs: the context model of this version (0: none), and these
  // codec libraries.
  uint32_t model_version = 0;
  std::set<std::string> codecs;
};

// Writes `patch_path` (temporary file beside it, fsync, rename). The images
// must not change meanwhile. Errors: I/O errors, "bad_argument", "cancelled",
// "out_of_memory", "delta_self_check" (an image changed while it was read, or
// a defect). Any number of calls may run at the same time.
absl::StatusOr<MakeStats> MakeDelta(const MakeOptions& options,
                                    const std::string& old_path,
                                    const std::string& new_path,
                                    const std::string& patch_path);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_MAKE_H_
