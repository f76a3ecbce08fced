#include "delta/make/reader_plan.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "common/status.h"
#include "delta/entropy/mix_coder.h"

namespace shoal::delta {
namespace {

// A model's windows carry no decompressed sections and may be smaller than
// zstd's: the memory is better used by its tables. Smaller ones cost some 20
// bytes of patch each, larger tables save little more; so windows shrink only
// where no level fits otherwise.
struct ModelShape {
  uint32_t window_size;
  uint8_t group_log2;
};
constexpr ModelShape kShapes[] = {
    {256u << 10, 15}, {64u << 10, 14}, {16u << 10, 12}};

// The smallest coding, which is left room for when images are expanded.
constexpr uint64_t kSmallestCoding = 1u << 20;

std::optional<Header> PlanModel(uint32_t most_window, uint64_t memory) {
  Header header;
  header.coding = Coding::kModel;
  header.model_version = kModelVersion;
  for (const ModelShape& shape : kShapes) {
    header.window_size = std::min(most_window, shape.window_size);
    header.group_log2 = shape.group_log2;
    for (int level = kMaxMixLevel; level >= kMinMixLevel; --level) {
      const uint64_t needed = ReaderMemory(header) + MixMemory(level);
      if (needed > memory) continue;
      header.model_level = static_cast<uint8_t>(level);
      header.reader_memory = static_cast<uint32_t>(needed);
      return header;
    }
  }
  return std::nullopt;
}

std::optional<Header> PlanZstd(uint32_t most_window, uint64_t memory) {
  Header header;
  for (header.window_size = most_window; header.window_size >= kMinWindowSize;
       header.window_size /= 2) {
    header.reader_memory = static_cast<uint32_t>(ReaderMemory(header));
    if (header.reader_memory <= memory) return header;
  }
  return std::nullopt;
}

// The best that a reader with `memory` bytes for the windows can apply.
std::optional<Header> PlanCoding(const MakeOptions& options, uint64_t memory) {
  std::optional<Header> header;
  if (options.coding == Coding::kModel && options.format == Format::kSdelta)
    header = PlanModel(options.window_size, memory);
  return header ? header : PlanZstd(options.window_size, memory);
}

// nullopt: not within `memory`.
std::optional<Header> PlanWith(const MakeOptions& options,
                               const ExpandedPair& expanded, uint64_t memory) {
  if (expanded.memory >= memory) return std::nullopt;
  auto header = PlanCoding(options, memory - expanded.memory);
  if (!header) return std::nullopt;
  header->reader_memory += static_cast<uint32_t>(expanded.memory);
  header->maps_size = expanded.maps_size;
  header->maps_stored = static_cast<uint32_t>(expanded.maps.size());
  return header;
}

}  // namespace

absl::StatusOr<ReaderPlan> PlanReader(const MakeOptions& options,
                                      const MappedFile& old_file,
                                      const MappedFile& new_file,
                                      const std::string& patch_path,
                                      const ExpandProgress& progress) {
  const uint64_t memory =
      std::min<uint64_t>(options.max_reader_memory.value_or(kUsualReaderMemory),
                         std::numeric_limits<uint32_t>::max());
  // Of all that a device must hold to expand and compress, the compressor's
  // part bounds the analysis; where layers together take too much, less of it.
  std::vector<uint64_t> rebuild;
  if (options.expand && options.format == Format::kSdelta)
    rebuild = {memory - std::min(memory, kSmallestCoding), memory / 2};
  for (const uint64_t max_rebuild_memory : rebuild) {
    ReaderPlan plan;
    SHOAL_ASSIGN_OR_RETURN(
        plan.expanded,
        ExpandPair(old_file, new_file,
                   {patch_path, options.threads, max_rebuild_memory,
                    options.device_codecs, options.cancel, progress}));
    const auto header = PlanWith(options, plan.expanded, memory);
    if (!header) continue;
    plan.header = *header;
    return plan;
  }
  const auto header = PlanWith(options, {}, memory);
  if (!header)
    return InvalidArgument("bad_argument",
                           "max_reader_memory is too small for any patch");
  ReaderPlan plan;
  plan.header = *header;
  return plan;
}

Header WithoutModel(const MakeOptions& options, const Header& header) {
  Header result = header;
  result.coding = Coding::kZstd;
  result.model_version = result.model_level = result.group_log2 = 0;
  const uint64_t windows = ReaderMemory(header) + MixMemory(header.model_level);
  // The model's windows and tables take more than zstd's smallest windows.
  const Header zstd = *PlanZstd(options.window_size, windows);
  result.window_size = zstd.window_size;
  result.reader_memory = static_cast<uint32_t>(header.reader_memory - windows +
                                               zstd.reader_memory);
  return result;
}

}  // namespace shoal::delta
