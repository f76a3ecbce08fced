// The pair of images that a patch is made between: the images themselves, or,
// where they hold compressed blocks that can be reproduced, their expanded
// images (delta/image).
#ifndef SHOAL_DELTA_MAKE_EXPANDED_PAIR_H_
#define SHOAL_DELTA_MAKE_EXPANDED_PAIR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "delta/format/format.h"
#include "delta/make/mapped_file.h"

namespace shoal::delta {

struct ExpandedPair {
  // The expanded images, in files that have no name any more; null: nothing
  // was found to expand, the images are taken as they are.
  std::unique_ptr<MappedFile> old_file, new_file;
  std::string maps;              // as stored behind the header
  uint32_t maps_size = 0;        // before compression
  uint64_t memory = 0;           // what a reader needs for it
  std::set<std::string> codecs;  // libraries that a reader needs for it
};

using ExpandProgress = std::function<void(uint64_t done, uint64_t total)>;

struct ExpandOptions {
  std::string temporary_prefix;                 // of the expanded images' files
  int threads = 2;                              // 1..64
  uint64_t max_rebuild_memory = 0;              // see AnalyzeOptions
  std::optional<std::set<std::string>> codecs;  // see MakeOptions
  const std::atomic<bool>* cancel = nullptr;    // optional
  ExpandProgress progress;                      // see AnalyzeOptions
};

// Errors: I/O errors, "cancelled".
absl::StatusOr<ExpandedPair> ExpandPair(const MappedFile& old_file,
                                        const MappedFile& new_file,
                                        const ExpandOptions& options);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_EXPANDED_PAIR_H_
