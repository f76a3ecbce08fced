// What the parsers of image formats find: places that look like compressed
// blocks. Nothing of it is believed before the block expands and, in a new
// image, compresses to the same bytes again.
#ifndef SHOAL_DELTA_IMAGE_ANALYZE_CANDIDATES_H_
#define SHOAL_DELTA_IMAGE_ANALYZE_CANDIDATES_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "delta/image/analyze/source.h"
#include "delta/image/codec.h"

namespace shoal::delta {

struct Candidate {
  uint64_t offset = 0;    // in the image
  uint64_t stored = 0;    // ≥ 1
  uint32_t most_raw = 0;  // it expands to at most this
  size_t family = 0;      // index in Candidates::families
};

// Blocks that probably have the same setting.
struct Family {
  std::vector<CodecSetting> likely;  // ≥ 1, all of one codec
  bool one_writer = false;  // all by one program: when a few blocks are not
                            // reproduced by any setting, none will be
};

struct Candidates {
  std::vector<Family> families;
  std::vector<Candidate> blocks;
};

inline constexpr size_t kMaxCandidates = 1u << 19;
// Shorter blocks are not worth a segment.
inline constexpr uint32_t kMinRaw = 64;

// Each parser looks at `offset`, where its magic number stands, adds what it
// finds and returns where to go on looking. "not_there" when there is no such
// structure; nothing was added then.
absl::StatusOr<uint64_t> FindSquashfs(const Source& source, uint64_t offset,
                                      Candidates& found);
absl::StatusOr<uint64_t> FindLz4Legacy(const Source& source, uint64_t offset,
                                       Candidates& found);
absl::StatusOr<uint64_t> FindGzip(const Source& source, uint64_t offset,
                                  uint64_t most_raw, Candidates& found);
absl::StatusOr<uint64_t> FindXz(const Source& source, uint64_t offset,
                                Candidates& found);
absl::StatusOr<uint64_t> FindZstd(const Source& source, uint64_t offset,
                                  Candidates& found);

// Looks for all of these from the first byte to the last. The blocks are in
// order and do not overlap. `progress(place)` is called now and then; an error
// of it ends the search.
absl::StatusOr<Candidates> FindCandidates(
    const Source& source, uint64_t most_raw,
    const std::function<absl::Status(uint64_t)>& progress);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_ANALYZE_CANDIDATES_H_
