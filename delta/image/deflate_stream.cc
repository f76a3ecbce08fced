#include "delta/image/deflate_stream.h"

#include <algorithm>
#include <cstring>

#include "common/status.h"

namespace shoal::delta {

DeflateStream::~DeflateStream() {
  if (open_) deflateEnd(&stream_);
}

absl::Status DeflateStream::Begin(const CodecSetting& setting) {
  SHOAL_RETURN_IF_ERROR(CheckSetting(setting));
  if (setting.codec != ImageCodec::kDeflate)
    return DataLoss("image_block", "only deflate is compressed in passing");
  SHOAL_RETURN_IF_ERROR(in_.Reserve(kStreamChunk));
  SHOAL_RETURN_IF_ERROR(out_.Reserve(kStreamChunk));
  if (open_ && setting_ != setting) {
    deflateEnd(&stream_);
    open_ = false;
  }
  const int bits = setting.wrapper ? setting.window : -setting.window;
  if (open_ ? deflateReset(&stream_) != Z_OK
            : deflateInit2(&stream_, setting.level, Z_DEFLATED, bits,
                           setting.memory, setting.strategy) != Z_OK)
    return ResourceExhausted("image_memory", "out of memory for deflate");
  open_ = true;
  setting_ = setting;
  filled_ = 0;
  return absl::OkStatus();
}

absl::Status DeflateStream::Write(std::string_view raw, const Sink& sink) {
  while (!raw.empty()) {
    const size_t n = std::min(raw.size(), kStreamChunk - filled_);
    memcpy(in_.data() + filled_, raw.data(), n);
    filled_ += n;
    raw.remove_prefix(n);
    if (filled_ == kStreamChunk) SHOAL_RETURN_IF_ERROR(Run(Z_NO_FLUSH, sink));
  }
  return absl::OkStatus();
}

absl::Status DeflateStream::Finish(const Sink& sink) {
  return Run(Z_FINISH, sink);
}

absl::Status DeflateStream::Run(int flush, const Sink& sink) {
  stream_.next_in = reinterpret_cast<Bytef*>(in_.data());
  stream_.avail_in = static_cast<uInt>(filled_);
  filled_ = 0;
  for (;;) {
    stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
    stream_.avail_out = kStreamChunk;
    const int result = deflate(&stream_, flush);
    if (result == Z_STREAM_ERROR)
      return Internal("image_block", "deflate's state is broken");
    const size_t n = kStreamChunk - stream_.avail_out;
    if (n > 0) SHOAL_RETURN_IF_ERROR(sink({out_.data(), n}));
    if (flush == Z_FINISH ? result == Z_STREAM_END : stream_.avail_out != 0)
      return absl::OkStatus();
  }
}

}  // namespace shoal::delta
