#include "delta/make/expanded_pair.h"

#include <unistd.h>
#include <zstd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "common/status.h"
#include "delta/apply/images.h"
#include "delta/image/analyze/analyze.h"
#include "delta/make/patch_file.h"

namespace shoal::delta {
namespace {

constexpr uint64_t kReleaseStep = 16 << 20;

// Several threads read; what they have read is given back now and then, or two
// whole images would stay resident.
ReadAt ReadFrom(const MappedFile& file) {
  auto touched = std::make_shared<std::atomic<uint64_t>>(0);
  return [&file, touched](uint64_t at, char* buffer, size_t size) {
    memcpy(buffer, file.bytes().data() + at, size);
    if (touched->fetch_add(size) + size >= kReleaseStep) {
      touched->store(0);
      file.Release();
    }
    return absl::OkStatus();
  };
}

absl::StatusOr<std::unique_ptr<MappedFile>> Expand(
    const MappedFile& file, const ImageMap& map, const std::string& prefix,
    const ExpandOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(auto out, PatchFile::Create(prefix));
  SHOAL_RETURN_IF_ERROR(WriteExpanded(
      map, ReadFrom(file),
      [&](std::string_view bytes) { return out->Append(bytes); },
      options.cancel));
  // The name goes with `out`; the mapping keeps the file.
  return MappedFile::Open(out->temporary());
}

}  // namespace

absl::StatusOr<ExpandedPair> ExpandPair(const MappedFile& old_file,
                                        const MappedFile& new_file,
                                        const ExpandOptions& options) {
  AnalyzeOptions analyze;
  analyze.threads = options.threads;
  analyze.max_rebuild_memory = options.max_rebuild_memory;
  analyze.cancel = options.cancel;
  analyze.progress = options.progress;
  if (options.codecs)
    analyze.may_use = [&options](ImageCodec codec) {
      return options.codecs->contains(LibraryOf(codec));
    };
  SHOAL_ASSIGN_OR_RETURN(
      const ImagePair pair,
      AnalyzePair(ReadFrom(old_file), old_file.bytes().size(),
                  ReadFrom(new_file), new_file.bytes().size(), analyze));
  ExpandedPair result;
  // Expanding only the old image helps nobody.
  if (pair.new_map.layers.empty()) return result;
  std::string maps =
      SerializeImageMap(pair.old_map) + SerializeImageMap(pair.new_map);
  SHOAL_ASSIGN_OR_RETURN(const std::string codecs,
                         DescribeCodecs(pair.new_map));
  maps += codecs;
  if (maps.size() > kMaxMapsSize) return result;
  SHOAL_ASSIGN_OR_RETURN(result.old_file,
                         Expand(old_file, pair.old_map,
                                options.temporary_prefix + ".old", options));
  SHOAL_ASSIGN_OR_RETURN(result.new_file,
                         Expand(new_file, pair.new_map,
                                options.temporary_prefix + ".new", options));
  result.maps_size = static_cast<uint32_t>(maps.size());
  std::string packed(ZSTD_compressBound(maps.size()), '\0');
  const size_t size =
      ZSTD_compress(packed.data(), packed.size(), maps.data(), maps.size(), 19);
  if (ZSTD_isError(size))
    return Internal("zstd_failed", ZSTD_getErrorName(size));
  packed.resize(size);
  result.maps = size < maps.size() ? std::move(packed) : std::move(maps);
  result.codecs = LibrariesOf(pair.new_map);
  result.memory = ImagesMemory(pair.old_map, pair.new_map, result.maps_size,
                               result.maps.size());
  return result;
}

}  // namespace shoal::delta
