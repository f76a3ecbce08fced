// What a patch asks of the device that applies it: how far the images are
// expanded, which coding, how large its tables and windows are.
#ifndef SHOAL_DELTA_MAKE_READER_PLAN_H_
#define SHOAL_DELTA_MAKE_READER_PLAN_H_

#include <string>

#include "absl/status/statusor.h"
#include "delta/format/format.h"
#include "delta/make/expanded_pair.h"
#include "delta/make/make.h"
#include "delta/make/mapped_file.h"

namespace shoal::delta {

// What applying may take (bytes), unless options.max_reader_memory says it.
// Less than 8 MiB by what the reader's program takes beside what a patch
// states: stack, libraries' data.
inline constexpr uint64_t kUsualReaderMemory = (8u << 20) - (192u << 10);

struct ReaderPlan {
  ExpandedPair expanded;
  Header header;  // coding, memory, windows, maps; not the images
};

// As much expanded as fits beside the smallest coding, then the best coding
// for what is left. Reasons: "bad_argument" (no patch is that small), those of
// ExpandPair.
absl::StatusOr<ReaderPlan> PlanReader(const MakeOptions& options,
                                      const MappedFile& old_file,
                                      const MappedFile& new_file,
                                      const std::string& patch_path,
                                      const ExpandProgress& progress);

// The same in zstd's coding, within no more memory than `header` states.
Header WithoutModel(const MakeOptions& options, const Header& header);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_READER_PLAN_H_
