// Makes an image from its expanded image: takes the expanded bytes strictly in
// order, compresses the blocks again and writes the image strictly in order.
// Verbatim segments are copied from the old image without compressing.
//
//   RebuilderOptions options;
//   options.old_image = old_reader.get();       // for verbatim segments
//   options.write = …;
//   SHOAL_ASSIGN_OR_RETURN(auto rebuilder, Rebuilder::Create(map, options));
//   SHOAL_RETURN_IF_ERROR(rebuilder->Write(bytes));   // any number of times
//   SHOAL_RETURN_IF_ERROR(rebuilder->Finish());
//
// A block that gets another length than the map says is "image_block": the
// codec differs in spite of its fingerprint. Equal lengths with other bytes are
// found by the whole image's digest. One thread at a time.
#ifndef SHOAL_DELTA_IMAGE_REBUILDER_H_
#define SHOAL_DELTA_IMAGE_REBUILDER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "delta/image/expanded_reader.h"
#include "delta/image/image_map.h"

namespace shoal::delta {

// Bytes that a Rebuilder takes at most; the map itself not included.
uint64_t RebuilderMemory(const ImageMap& map);

// A place from which a new Rebuilder can go on: a boundary of segments (of the
// outermost layer), or any place within a raw or verbatim one.
struct RebuildPoint {
  uint64_t image_offset = 0;     // bytes of the image before it
  uint64_t expanded_offset = 0;  // where the expanded bytes must go on: feed
                                 // Write() from here
  bool operator==(const RebuildPoint&) const = default;
};

struct RebuilderOptions {
  // The old image, for verbatim segments; may be null when there are none.
  ExpandedReader* old_image = nullptr;
  // Appends to the image. Never more than map.image_size bytes in total.
  std::function<absl::Status(std::string_view bytes)> write;
  // Where to go on: an image_offset that a point() had; 0 = from the start.
  // Everything before it is in the image already.
  uint64_t resume_at = 0;
};

class Rebuilder {
 public:
  // `map` must outlive the rebuilder. "bad_resume": no point of this map.
  static absl::StatusOr<std::unique_ptr<Rebuilder>> Create(
      const ImageMap& map, RebuilderOptions options);
  ~Rebuilder();

  // The next bytes of the expanded image; more than there are: "image_write".
  absl::Status Write(std::string_view expanded);

  // After the last byte: writes verbatim segments at the end and checks that
  // the image is complete ("image_write").
  absl::Status Finish();

  // The last place that can be resumed from: everything before image_offset
  // was given to `write`. Right after Create with resume_at: that place, and
  // expanded_offset says where to feed from.
  RebuildPoint point() const;

 private:
  class Impl;
  explicit Rebuilder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_REBUILDER_H_
