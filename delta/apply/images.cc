#include "delta/apply/images.h"

#include <algorithm>
#include <utility>

#include "common/status.h"

namespace shoal::delta {

uint64_t ImagesMemory(const ImageMap& old_map, const ImageMap& new_map,
                      uint64_t maps_size, uint64_t maps_stored) {
  // The codecs are checked before reader and rebuilder are there.
  const uint64_t images =
      ExpandedReaderMemory(old_map, ExpandedReader::kDefaultCache) +
      RebuilderMemory(new_map);
  return maps_size + maps_stored + MemoryOf(old_map) + MemoryOf(new_map) +
         std::max(images, CheckCodecsMemory(new_map));
}

absl::StatusOr<std::unique_ptr<Images>> Images::Parse(std::string_view maps,
                                                      const Header& header,
                                                      uint64_t max_memory) {
  auto images = std::make_unique<Images>();
  // The maps' bytes lie beside what is made of them.
  const uint64_t bytes = uint64_t{header.maps_size} + header.maps_stored;
  uint64_t left = max_memory - std::min(max_memory, bytes);
  SHOAL_ASSIGN_OR_RETURN(images->old_map_, ParseImageMap(maps, left));
  left -= std::min(left, MemoryOf(images->old_map_));
  SHOAL_ASSIGN_OR_RETURN(
      images->new_map_,
      ParseImageMap(maps, left, OuterSizes(images->old_map_)));
  if (images->old_map_.image_size != header.old_size ||
      images->new_map_.image_size != header.new_size)
    return DataLoss("delta_corrupt", "the maps are of other images");
  if (max_memory < ImagesMemory(images->old_map_, images->new_map_,
                                header.maps_size, header.maps_stored))
    return DataLoss("delta_corrupt",
                    "the stated memory is too small for the maps");
  SHOAL_RETURN_IF_ERROR(CheckCodecs(images->new_map_, maps));
  if (!maps.empty())
    return DataLoss("delta_corrupt", "bytes follow behind the maps");
  return images;
}

absl::Status Images::Open(ReadAt read_old,
                          std::function<absl::Status(std::string_view)> write,
                          uint64_t resume_at) {
  SHOAL_ASSIGN_OR_RETURN(reader_,
                         ExpandedReader::Create(old_map_, std::move(read_old)));
  RebuilderOptions options;
  options.old_image = reader_.get();
  options.write = std::move(write);
  options.resume_at = resume_at;
  SHOAL_ASSIGN_OR_RETURN(rebuilder_,
                         Rebuilder::Create(new_map_, std::move(options)));
  return absl::OkStatus();
}

}  // namespace shoal::delta
