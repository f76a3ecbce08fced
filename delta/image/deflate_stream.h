// Compresses a long deflate block in passing, in O(window) memory. What comes
// out does not depend on how the bytes are cut when they come in: they are
// gathered into pieces of kStreamChunk first.
#ifndef SHOAL_DELTA_IMAGE_DEFLATE_STREAM_H_
#define SHOAL_DELTA_IMAGE_DEFLATE_STREAM_H_

#include <zlib.h>

#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "delta/image/buffer.h"
#include "delta/image/codec.h"

namespace shoal::delta {

class DeflateStream {
 public:
  using Sink = std::function<absl::Status(std::string_view)>;

  DeflateStream() = default;
  ~DeflateStream();
  DeflateStream(const DeflateStream&) = delete;
  DeflateStream& operator=(const DeflateStream&) = delete;

  // Begins a block; a setting of codec kDeflate. "image_memory".
  absl::Status Begin(const CodecSetting& setting);
  absl::Status Write(std::string_view raw, const Sink& sink);
  absl::Status Finish(const Sink& sink);

 private:
  absl::Status Run(int flush, const Sink& sink);

  z_stream stream_{};
  bool open_ = false;
  CodecSetting setting_;
  Buffer in_, out_;
  size_t filled_ = 0;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_DEFLATE_STREAM_H_
