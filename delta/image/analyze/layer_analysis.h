// One layer's analysis: candidates, what they expand to, what reproduces them.
#ifndef SHOAL_DELTA_IMAGE_ANALYZE_LAYER_ANALYSIS_H_
#define SHOAL_DELTA_IMAGE_ANALYZE_LAYER_ANALYSIS_H_

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "delta/image/analyze/analyze.h"
#include "delta/image/analyze/candidates.h"

namespace shoal::delta {

// The compressed blocks that stand in the old image, by their stored bytes.
class StoredBlocks {
 public:
  // Not thread-safe; `offset` is where a block of that length and hash starts.
  void Add(uint64_t stored, size_t hash, uint64_t offset);
  // Where `bytes` stand in `old`, byte for byte; UINT64_MAX: nowhere.
  absl::StatusOr<uint64_t> Find(const Source& old,
                                std::string_view bytes) const;

 private:
  std::unordered_multimap<size_t, std::pair<uint64_t, uint64_t>> blocks_;
};

struct LayerJob {
  Source source;
  const AnalyzeOptions& options;
  bool verify_exact;
  // Old image of the same layer, for verbatim segments; null: none.
  const StoredBlocks* old_blocks = nullptr;
  const Source* old_source = nullptr;
  StoredBlocks* collect = nullptr;  // filled when not null
  std::function<void(uint64_t done)>
      progress;  // of 2 × source.size; may be null
};

// The layer; its settings are added to `settings`. Without any block or
// verbatim segment: one raw segment (none when the image is empty).
absl::StatusOr<Layer> AnalyzeLayer(const LayerJob& job,
                                   std::vector<CodecSetting>& settings);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_ANALYZE_LAYER_ANALYSIS_H_
