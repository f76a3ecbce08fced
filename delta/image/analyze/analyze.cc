#include "delta/image/analyze/analyze.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "common/status.h"
#include "delta/image/analyze/layer_analysis.h"

namespace shoal::delta {
namespace {

using Kind = Segment::Kind;

constexpr uint64_t kAnalysisCache = 4u << 20;

bool HasBlocks(const Layer& layer) {
  return std::any_of(layer.segments.begin(), layer.segments.end(),
                     [](const Segment& s) { return s.kind == Kind::kBlock; });
}
bool HasAny(const Layer& layer) {
  return std::any_of(layer.segments.begin(), layer.segments.end(),
                     [](const Segment& s) { return s.kind != Kind::kRaw; });
}

// An image whose map grows layer by layer: reads of the innermost image so far.
class Growing {
 public:
  Growing(const ReadAt& read, uint64_t size) : read_(read) {
    map_.image_size = size;
  }

  Source source() const { return {inner_, map_.ExpandedSize()}; }
  ImageMap& map() { return map_; }

  absl::Status Push(Layer layer) {
    reader_.reset();
    map_.layers.push_back(std::move(layer));
    return Reopen();
  }

  absl::Status Reopen() {
    SHOAL_ASSIGN_OR_RETURN(reader_,
                           ExpandedReader::Create(map_, read_, kAnalysisCache));
    return absl::OkStatus();
  }

 private:
  const ReadAt& read_;
  ImageMap map_;
  std::unique_ptr<ExpandedReader> reader_;
  std::mutex mutex_;
  const ReadAt inner_ = [this](uint64_t offset, char* buffer,
                               size_t size) -> absl::Status {
    if (map_.layers.empty()) return read_(offset, buffer, size);
    const std::lock_guard lock(mutex_);  // an ExpandedReader has one user
    return reader_->Read(offset, buffer, size);
  };
};

// Progress of one of several equal parts of the work.
std::function<void(uint64_t)> Part(const AnalyzeOptions& options,
                                   uint64_t before, uint64_t total) {
  if (!options.progress) return nullptr;
  return [&options, before, total](uint64_t done) {
    options.progress(std::min(before + done / 2, total), total);
  };
}

}  // namespace

absl::StatusOr<ImageMap> Analyze(const ReadAt& read, uint64_t size,
                                 const AnalyzeOptions& options) {
  Growing image(read, size);
  for (int depth = 0; depth < kMaxLayers; ++depth) {
    SHOAL_ASSIGN_OR_RETURN(
        Layer layer,
        AnalyzeLayer({.source = image.source(),
                      .options = options,
                      .verify_exact = options.verify_exact,
                      .progress = depth == 0 ? Part(options, 0, size)
                                             : std::function<void(uint64_t)>()},
                     image.map().settings));
    if (!HasBlocks(layer)) break;
    SHOAL_RETURN_IF_ERROR(image.Push(std::move(layer)));
  }
  return std::move(image.map());
}

absl::StatusOr<ImagePair> AnalyzePair(const ReadAt& read_old, uint64_t old_size,
                                      const ReadAt& read_new, uint64_t new_size,
                                      const AnalyzeOptions& options) {
  Growing old_image(read_old, old_size), new_image(read_new, new_size);
  const uint64_t total = old_size + new_size;
  const auto part = [&](int depth, uint64_t before) {
    return depth == 0 ? Part(options, before, total)
                      : std::function<void(uint64_t)>();
  };
  for (int depth = 0; depth < kMaxLayers; ++depth) {
    const Source old_source = old_image.source();
    StoredBlocks old_blocks;
    auto old_settings = old_image.map().settings;
    SHOAL_ASSIGN_OR_RETURN(Layer old_layer,
                           AnalyzeLayer({.source = old_source,
                                         .options = options,
                                         .verify_exact = false,
                                         .collect = &old_blocks,
                                         .progress = part(depth, 0)},
                                        old_settings));
    if (!HasBlocks(old_layer)) break;
    auto new_settings = new_image.map().settings;
    SHOAL_ASSIGN_OR_RETURN(Layer new_layer,
                           AnalyzeLayer({.source = new_image.source(),
                                         .options = options,
                                         .verify_exact = true,
                                         .old_blocks = &old_blocks,
                                         .old_source = &old_source,
                                         .progress = part(depth, old_size)},
                                        new_settings));
    // Without blocks in the new image, the old one's are better left as they
    // are: only as stored bytes do they resemble anything in it.
    if (!HasAny(new_layer)) break;
    old_image.map().settings = std::move(old_settings);
    new_image.map().settings = std::move(new_settings);
    SHOAL_RETURN_IF_ERROR(old_image.Push(std::move(old_layer)));
    SHOAL_RETURN_IF_ERROR(new_image.Push(std::move(new_layer)));
  }
  return ImagePair{std::move(old_image.map()), std::move(new_image.map())};
}

absl::Status WriteExpanded(
    const ImageMap& map, const ReadAt& read_image,
    const std::function<absl::Status(std::string_view)>& write,
    const std::atomic<bool>* cancel) {
  SHOAL_ASSIGN_OR_RETURN(
      const auto reader,
      ExpandedReader::Create(map, read_image, kAnalysisCache));
  std::string piece(1u << 20, '\0');
  for (uint64_t at = 0; at < reader->size();) {
    if (cancel != nullptr && cancel->load())
      return MakeError(absl::StatusCode::kCancelled, "cancelled",
                       "expanding the image was cancelled");
    const size_t n = std::min<uint64_t>(piece.size(), reader->size() - at);
    SHOAL_RETURN_IF_ERROR(reader->Read(at, piece.data(), n));
    SHOAL_RETURN_IF_ERROR(write({piece.data(), n}));
    at += n;
  }
  return absl::OkStatus();
}

}  // namespace shoal::delta
