#include <lz4.h>
#include <lz4hc.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "common/status.h"
#include "delta/image/buffer.h"
#include "delta/image/codec.h"
#include "delta/image/xz_filters.h"

namespace shoal::delta {
namespace {

absl::Status Damaged(const char* what) { return DataLoss("image_block", what); }
absl::Status OutOfMemory() {
  return ResourceExhausted("image_memory", "out of memory for a codec");
}
const uint8_t* Bytes(std::string_view s) {
  return reinterpret_cast<const uint8_t*>(s.data());
}

// False when a match has the distance 0, which the format forbids. liblz4 1.9
// lets it pass and leaves those bytes of the output as they happened to be.
bool Lz4DistancesAreSound(std::string_view stored) {
  size_t at = 0;
  const auto skip_length = [&](size_t length) {
    if (length != 15) return length;
    uint8_t more = 255;
    while (more == 255 && at < stored.size()) {
      more = static_cast<uint8_t>(stored[at++]);
      length += more;
    }
    return length;
  };
  while (at < stored.size()) {
    const auto token = static_cast<uint8_t>(stored[at++]);
    const size_t literals = skip_length(token >> 4);
    if (stored.size() - at < literals + 2) return true;  // the last sequence
    at += literals;
    if (stored[at] == 0 && stored[at + 1] == 0) return false;
    at += 2;
    skip_length(token & 15);
  }
  return true;
}

}  // namespace

class BlockCodec::Impl {
 public:
  ~Impl() {
    if (inflating_) inflateEnd(&inflate_);
    if (deflating_) deflateEnd(&deflate_);
  }

  absl::StatusOr<size_t> ExpandUpTo(const CodecSetting& setting,
                                    std::string_view stored, char* raw,
                                    size_t capacity) {
    if (stored.size() > INT32_MAX || capacity > INT32_MAX)
      return Damaged("a block is too long");
    switch (setting.codec) {
      case ImageCodec::kDeflate:
        return Inflate(setting.wrapper, stored, raw, capacity);
      case ImageCodec::kXz:
        return XzDecode(setting.dictionary, stored, raw, capacity);
      case ImageCodec::kZstd:
        return ZstdDecode(stored, raw, capacity);
      case ImageCodec::kLz4:
      case ImageCodec::kLz4Hc:
      case ImageCodec::kLz4HcPieces: {
        const int n = LZ4_decompress_safe(stored.data(), raw,
                                          static_cast<int>(stored.size()),
                                          static_cast<int>(capacity));
        if (n < 0 || !Lz4DistancesAreSound(stored))
          return Damaged("an lz4 block is damaged");
        return static_cast<size_t>(n);
      }
    }
    return Damaged("no such codec");
  }

  absl::StatusOr<char*> Prepare(const CodecSetting& setting,
                                size_t raw_length) {
    SHOAL_RETURN_IF_ERROR(CheckSetting(setting));
    // Longer deflate blocks are DeflateStream's, pieces are Lz4Pieces'.
    const size_t most = setting.codec == ImageCodec::kDeflate
                            ? kMaxBufferedBlock
                            : MaxRawLength(setting);
    if (raw_length > most || setting.codec == ImageCodec::kLz4HcPieces)
      return Damaged("a block is too long");
    // At most one codec's state is there at a time: WholeBlockMemory().
    if (setting.codec != prepared_.codec) ReleaseCompressors();
    prepared_ = setting;
    raw_length_ = raw_length;
    SHOAL_RETURN_IF_ERROR(raw_.Reserve(raw_length));
    return raw_.data();
  }

  absl::StatusOr<std::string_view> Compress(size_t limit) {
    switch (prepared_.codec) {
      case ImageCodec::kDeflate:
        return Deflate(limit);
      case ImageCodec::kXz:
        return XzEncode(limit);
      case ImageCodec::kZstd:
        return ZstdEncode(limit);
      case ImageCodec::kLz4:
        return Lz4Encode(limit);
      case ImageCodec::kLz4Hc:
        return Lz4HcEncode(limit);
      case ImageCodec::kLz4HcPieces:
        break;
    }
    return Damaged("no such codec");
  }

 private:
  struct FreeZstd {
    void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
    void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
  };

  void ReleaseCompressors() {
    if (deflating_) deflateEnd(&deflate_);
    deflating_ = false;
    encoder_.reset();
    lz4_state_.Release();
  }

  absl::StatusOr<size_t> Inflate(int wrapper, std::string_view stored,
                                 char* raw, size_t capacity) {
    const int bits = wrapper ? MAX_WBITS : -MAX_WBITS;
    if (inflating_ ? inflateReset2(&inflate_, bits) != Z_OK
                   : inflateInit2(&inflate_, bits) != Z_OK)
      return OutOfMemory();
    inflating_ = true;
    inflate_.next_in = const_cast<Bytef*>(Bytes(stored));
    inflate_.avail_in = static_cast<uInt>(stored.size());
    inflate_.next_out = reinterpret_cast<Bytef*>(raw);
    inflate_.avail_out = static_cast<uInt>(capacity);
    const int result = inflate(&inflate_, Z_FINISH);
    if (result == Z_MEM_ERROR) return OutOfMemory();
    if (result != Z_STREAM_END || inflate_.avail_in != 0)
      return Damaged("a deflate block is damaged");
    return capacity - inflate_.avail_out;
  }

  absl::StatusOr<size_t> XzDecode(uint32_t dictionary, std::string_view stored,
                                  char* raw, size_t capacity) {
    // The stored block names a dictionary of its own; this bounds it.
    uint64_t memory = uint64_t{dictionary} + kXzDecoderState;
    size_t in = 0, out = 0;
    const lzma_ret result = lzma_stream_buffer_decode(
        &memory, 0, nullptr, Bytes(stored), &in, stored.size(),
        reinterpret_cast<uint8_t*>(raw), &out, capacity);
    if (result == LZMA_MEM_ERROR) return OutOfMemory();
    if (result != LZMA_OK || in != stored.size())
      return Damaged("an xz block is damaged");
    return out;
  }

  absl::StatusOr<size_t> ZstdDecode(std::string_view stored, char* raw,
                                    size_t capacity) {
    if (!decoder_) decoder_.reset(ZSTD_createDCtx());
    if (!decoder_) return OutOfMemory();
    const size_t n = ZSTD_decompressDCtx(decoder_.get(), raw, capacity,
                                         stored.data(), stored.size());
    if (ZSTD_isError(n)) return Damaged("a zstd block is damaged");
    return n;
  }

  absl::StatusOr<std::string_view> Deflate(size_t limit) {
    const CodecSetting& s = prepared_;
    if (deflating_ && deflate_setting_ != s) {
      deflateEnd(&deflate_);
      deflating_ = false;
    }
    if (deflating_ ? deflateReset(&deflate_) != Z_OK
                   : deflateInit2(&deflate_, s.level, Z_DEFLATED,
                                  s.wrapper ? s.window : -s.window, s.memory,
                                  s.strategy) != Z_OK)
      return OutOfMemory();
    deflating_ = true;
    deflate_setting_ = s;
    SHOAL_RETURN_IF_ERROR(stored_.Reserve(limit + 1));
    deflate_.next_in = reinterpret_cast<Bytef*>(raw_.data());
    deflate_.avail_in = static_cast<uInt>(raw_length_);
    deflate_.next_out = reinterpret_cast<Bytef*>(stored_.data());
    deflate_.avail_out = static_cast<uInt>(limit + 1);
    if (deflate(&deflate_, Z_FINISH) != Z_STREAM_END)
      return Damaged("a block got longer than it was");
    return Stored(limit + 1 - deflate_.avail_out, limit);
  }

  absl::StatusOr<std::string_view> XzEncode(size_t limit) {
    XzFilters filters;
    if (!filters.Set(prepared_)) return Damaged("no such xz preset");
    // Slack, since liblzma stores a block as it is when room gets short.
    const size_t room = limit + 64;
    SHOAL_RETURN_IF_ERROR(stored_.Reserve(room));
    const auto* in = reinterpret_cast<const uint8_t*>(raw_.data());
    auto* out = reinterpret_cast<uint8_t*>(stored_.data());
    const auto check = static_cast<lzma_check>(prepared_.check);
    size_t n = 0;
    lzma_ret result;
    if (prepared_.wrapper == 0) {
      result = lzma_stream_buffer_encode(filters.chain, check, nullptr, in,
                                         raw_length_, out, &n, room);
    } else {
      lzma_stream stream = LZMA_STREAM_INIT;
      result = lzma_stream_encoder(&stream, filters.chain, check);
      if (result == LZMA_OK) {
        stream.next_in = in;
        stream.avail_in = raw_length_;
        stream.next_out = out;
        stream.avail_out = room;
        result = lzma_code(&stream, LZMA_FINISH);
        n = room - stream.avail_out;
        result = result == LZMA_STREAM_END ? LZMA_OK
                 : result == LZMA_OK       ? LZMA_BUF_ERROR
                                           : result;
      }
      lzma_end(&stream);
    }
    if (result == LZMA_MEM_ERROR) return OutOfMemory();
    if (result != LZMA_OK) return Damaged("a block got longer than it was");
    return Stored(n, limit);
  }

  absl::StatusOr<std::string_view> ZstdEncode(size_t limit) {
    if (!encoder_) encoder_.reset(ZSTD_createCCtx());
    if (!encoder_) return OutOfMemory();
    // Always the same capacity: a short one may change zstd's decisions.
    const size_t room = ZSTD_compressBound(raw_length_);
    SHOAL_RETURN_IF_ERROR(stored_.Reserve(room));
    size_t n;
    if (prepared_.check == 0) {
      n = ZSTD_compressCCtx(encoder_.get(), stored_.data(), room, raw_.data(),
                            raw_length_, prepared_.level);
    } else {
      ZSTD_CCtx_reset(encoder_.get(), ZSTD_reset_session_and_parameters);
      ZSTD_CCtx_setParameter(encoder_.get(), ZSTD_c_compressionLevel,
                             prepared_.level);
      ZSTD_CCtx_setParameter(encoder_.get(), ZSTD_c_checksumFlag, 1);
      n = ZSTD_compress2(encoder_.get(), stored_.data(), room, raw_.data(),
                         raw_length_);
    }
    if (ZSTD_isError(n)) return OutOfMemory();
    return Stored(n, limit);
  }

  absl::StatusOr<std::string_view> Lz4Encode(size_t limit) {
    const int size = static_cast<int>(raw_length_);
    const int room = LZ4_compressBound(size);
    SHOAL_RETURN_IF_ERROR(lz4_state_.Reserve(LZ4_sizeofState()));
    SHOAL_RETURN_IF_ERROR(stored_.Reserve(room));
    const int n = LZ4_compress_fast_extState(lz4_state_.data(), raw_.data(),
                                             stored_.data(), size, room, 1);
    if (n <= 0) return Damaged("lz4 cannot compress a block");
    return Stored(n, limit);
  }

  absl::StatusOr<std::string_view> Lz4HcEncode(size_t limit) {
    SHOAL_RETURN_IF_ERROR(lz4_state_.Reserve(LZ4_sizeofStateHC()));
    const int size = static_cast<int>(raw_length_);
    const int room = LZ4_compressBound(size);
    SHOAL_RETURN_IF_ERROR(stored_.Reserve(room));
    const int n =
        LZ4_compress_HC_extStateHC(lz4_state_.data(), raw_.data(),
                                   stored_.data(), size, room, prepared_.level);
    if (n <= 0) return Damaged("lz4 cannot compress a block");
    return Stored(n, limit);
  }

  absl::StatusOr<std::string_view> Stored(size_t n, size_t limit) {
    if (n > limit) return Damaged("a block got longer than it was");
    return std::string_view(stored_.data(), n);
  }

  Buffer raw_, stored_, lz4_state_;
  CodecSetting prepared_;
  size_t raw_length_ = 0;
  z_stream inflate_{}, deflate_{};
  bool inflating_ = false, deflating_ = false;
  CodecSetting deflate_setting_;
  std::unique_ptr<ZSTD_CCtx, FreeZstd> encoder_;
  std::unique_ptr<ZSTD_DCtx, FreeZstd> decoder_;
};

BlockCodec::BlockCodec() : impl_(new Impl) {}
BlockCodec::~BlockCodec() = default;

absl::StatusOr<size_t> BlockCodec::ExpandUpTo(const CodecSetting& setting,
                                              std::string_view stored,
                                              char* raw, size_t capacity) {
  return impl_->ExpandUpTo(setting, stored, raw, capacity);
}

absl::Status BlockCodec::Expand(const CodecSetting& setting,
                                std::string_view stored, char* raw,
                                size_t raw_length) {
  SHOAL_ASSIGN_OR_RETURN(const size_t n,
                         impl_->ExpandUpTo(setting, stored, raw, raw_length));
  if (n != raw_length) return Damaged("a block has another length");
  return absl::OkStatus();
}

absl::StatusOr<char*> BlockCodec::Prepare(const CodecSetting& setting,
                                          size_t raw_length) {
  return impl_->Prepare(setting, raw_length);
}

absl::StatusOr<std::string_view> BlockCodec::Compress(size_t limit) {
  return impl_->Compress(limit);
}

}  // namespace shoal::delta
