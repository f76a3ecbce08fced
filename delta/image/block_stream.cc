#include "delta/image/block_stream.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <new>

#include "common/status.h"
#include "delta/image/lz4_stream.h"
#include "delta/image/stored_input.h"

namespace shoal::delta {
namespace {

absl::Status Damaged() {
  return DataLoss("image_block", "a deflate block is damaged");
}
absl::Status OutOfMemory() {
  return ResourceExhausted("image_memory", "out of memory for a decoder");
}

class InflateStream : public BlockStream {
 public:
  InflateStream(StoredInput input, uint64_t raw_length)
      : input_(std::move(input)), raw_left_(raw_length) {}
  ~InflateStream() override {
    if (open_) inflateEnd(&stream_);
  }

  absl::Status Open(int wrapper) {
    if (inflateInit2(&stream_, wrapper ? MAX_WBITS : -MAX_WBITS) != Z_OK)
      return OutOfMemory();
    open_ = true;
    return absl::OkStatus();
  }

  absl::Status Read(char* out, size_t size) override {
    if (size > raw_left_) return Damaged();
    while (size > 0) {
      const size_t n = std::min(size, out ? size : skipped_.size());
      SHOAL_RETURN_IF_ERROR(Produce(out ? out : skipped_.data(), n));
      if (out) out += n;
      size -= n;
      raw_left_ -= n;
      place_ += n;
    }
    return absl::OkStatus();
  }

  absl::Status CheckEnd() override {
    if (raw_left_ != 0) return Damaged();
    // The end-of-block code may stand in bytes that were not read yet.
    char one_more;
    while (!ended_) {
      SHOAL_RETURN_IF_ERROR(input_.Fill());
      stream_.next_out = reinterpret_cast<Bytef*>(&one_more);
      stream_.avail_out = 1;
      SHOAL_RETURN_IF_ERROR(Step());
      if (stream_.avail_out == 0) return Damaged();
    }
    return input_.AtEnd() ? absl::OkStatus() : Damaged();
  }

  absl::StatusOr<std::unique_ptr<BlockStream>> Clone() const override {
    std::unique_ptr<InflateStream> copy(new (std::nothrow)
                                            InflateStream(input_, raw_left_));
    if (!copy) return OutOfMemory();
    if (inflateCopy(&copy->stream_, const_cast<z_stream*>(&stream_)) != Z_OK)
      return OutOfMemory();
    copy->open_ = true;
    copy->ended_ = ended_;
    copy->place_ = place_;
    return std::unique_ptr<BlockStream>(std::move(copy));
  }

 private:
  absl::Status Produce(char* out, size_t size) {
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(size);
    while (stream_.avail_out > 0) {
      if (ended_) return Damaged();
      // At the end inflate may still hold output in its window.
      if (input_.buffered().empty() && !input_.AtEnd())
        SHOAL_RETURN_IF_ERROR(input_.Fill());
      SHOAL_RETURN_IF_ERROR(Step());
    }
    return absl::OkStatus();
  }

  absl::Status Step() {
    const std::string_view in = input_.buffered();
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    const int result = inflate(&stream_, Z_NO_FLUSH);
    input_.Consume(in.size() - stream_.avail_in);
    if (result == Z_MEM_ERROR) return OutOfMemory();
    if (result != Z_OK && result != Z_STREAM_END) return Damaged();
    ended_ = result == Z_STREAM_END;
    return absl::OkStatus();
  }

  StoredInput input_;
  uint64_t raw_left_;
  z_stream stream_{};
  bool open_ = false, ended_ = false;
  std::array<char, 4096> skipped_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BlockStream>> BlockStream::Open(
    const CodecSetting& setting, const ReadAt& read, uint64_t offset,
    uint64_t stored_length, uint64_t raw_length) {
  if (setting.codec == ImageCodec::kLz4 ||
      setting.codec == ImageCodec::kLz4Hc ||
      setting.codec == ImageCodec::kLz4HcPieces) {
    std::unique_ptr<BlockStream> stream(
        new (std::nothrow) Lz4Stream(read, offset, stored_length, raw_length));
    if (!stream) return OutOfMemory();
    return stream;
  }
  if (setting.codec != ImageCodec::kDeflate)
    return DataLoss("image_block", "this codec's blocks are not that long");
  std::unique_ptr<InflateStream> stream(new (std::nothrow) InflateStream(
      StoredInput(read, offset, stored_length), raw_length));
  if (!stream) return OutOfMemory();
  SHOAL_RETURN_IF_ERROR(stream->Open(setting.wrapper));
  return std::unique_ptr<BlockStream>(std::move(stream));
}

}  // namespace shoal::delta
