// A patch between expanded images (delta/image): what the windows read of the
// base is its expanded image, and what they make is compressed again on its
// way to the result.
//
// Behind the header of such a patch stand the maps: old map, new map, codecs,
// as delta/image serialises them, compressed as a whole by zstd when smaller.
#ifndef SHOAL_DELTA_APPLY_IMAGES_H_
#define SHOAL_DELTA_APPLY_IMAGES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "delta/format/format.h"
#include "delta/image/expanded_reader.h"
#include "delta/image/image_map.h"
#include "delta/image/rebuilder.h"

namespace shoal::delta {

// What a reader allocates for maps of `maps_size` bytes, at most.
uint64_t ImagesMemory(const ImageMap& old_map, const ImageMap& new_map,
                      uint64_t maps_size, uint64_t maps_stored);

// One thread at a time.
class Images {
 public:
  // `maps`: as they are. Checks them, against `header` and against this
  // machine's codecs. `max_memory`: what ImagesMemory() may be. Reasons:
  // "image_map", "image_memory", "codec_differs", "delta_corrupt".
  static absl::StatusOr<std::unique_ptr<Images>> Parse(std::string_view maps,
                                                       const Header& header,
                                                       uint64_t max_memory);

  uint64_t old_size() const { return old_map_.ExpandedSize(); }
  uint64_t new_size() const { return new_map_.ExpandedSize(); }

  // Before all below. `resume_at`: bytes of the image that are there already.
  absl::Status Open(ReadAt read_old,
                    std::function<absl::Status(std::string_view)> write,
                    uint64_t resume_at);

  absl::Status Read(uint64_t at, char* buffer, size_t size) {
    return reader_->Read(at, buffer, size);
  }
  absl::Status Write(std::string_view expanded) {
    return rebuilder_->Write(expanded);
  }
  absl::Status Finish() { return rebuilder_->Finish(); }
  RebuildPoint point() const { return rebuilder_->point(); }

 private:
  ImageMap old_map_, new_map_;
  std::unique_ptr<ExpandedReader> reader_;
  std::unique_ptr<Rebuilder> rebuilder_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_APPLY_IMAGES_H_
