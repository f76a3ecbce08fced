#include "delta/apply/bsdiff40.h"

#include <bzlib.h>

#include <algorithm>
#include <array>
#include <memory>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "delta/apply/apply_impl.h"

namespace shoal::delta {
namespace {

constexpr size_t kInput = 16 << 10;

// One of the three streams, decompressed forward.
class Bzip2Stream {
 public:
  Bzip2Stream(const Bsdiff40Options& options, uint64_t begin, uint64_t end)
      : options_(options), at_(begin), end_(end) {}
  ~Bzip2Stream() {
    if (open_) BZ2_bzDecompressEnd(&stream_);
  }
  Bzip2Stream(const Bzip2Stream&) = delete;
  Bzip2Stream& operator=(const Bzip2Stream&) = delete;

  absl::Status Open() {
    // Small: 2.5 bytes a byte of a block (900 kB), at half the speed.
    if (BZ2_bzDecompressInit(&stream_, 0, 1) != BZ_OK)
      return ResourceExhausted("delta_memory", "no memory for bzip2");
    open_ = true;
    return absl::OkStatus();
  }

  absl::Status Read(char* out, size_t size) {
    stream_.next_out = out;
    stream_.avail_out = static_cast<unsigned>(size);
    while (stream_.avail_out > 0) {
      if (ended_) return DeltaCorrupt("a stream has too few bytes");
      if (stream_.avail_in == 0 && at_ < end_) {
        const size_t n = std::min<uint64_t>(kInput, end_ - at_);
        SHOAL_RETURN_IF_ERROR(options_.read_patch(at_, input_.data(), n));
        at_ += n;
        stream_.next_in = input_.data();
        stream_.avail_in = static_cast<unsigned>(n);
      }
      const unsigned in = stream_.avail_in, room = stream_.avail_out;
      const int result = BZ2_bzDecompress(&stream_);
      if (result == BZ_MEM_ERROR)
        return ResourceExhausted("delta_memory", "no memory for bzip2");
      ended_ = result == BZ_STREAM_END;
      if (result != BZ_OK && !ended_)
        return DeltaCorrupt("a stream is no bzip2");
      if (!ended_ && at_ == end_ && in == stream_.avail_in &&
          room == stream_.avail_out)
        return DataLoss("delta_truncated", "a stream ends too early");
    }
    return absl::OkStatus();
  }

 private:
  const Bsdiff40Options& options_;
  uint64_t at_, end_;
  bz_stream stream_{};
  bool open_ = false, ended_ = false;
  std::array<char, kInput> input_;
};

class Bsdiff40Applier {
 public:
  explicit Bsdiff40Applier(const Bsdiff40Options& options)
      : options_(options) {}

  absl::Status Run() {
    SHOAL_RETURN_IF_ERROR(Start());
    // Each triple does something, but for those that only move: without a
    // bound a patch of them would keep the reader busy for long.
    uint64_t idle = 0;
    while (written_ < header_.new_size) {
      char bytes[24];
      SHOAL_RETURN_IF_ERROR(control_->Read(bytes, sizeof bytes));
      const int64_t add = ReadBsdiff40Number(bytes);
      const int64_t extra = ReadBsdiff40Number(bytes + 8);
      const int64_t move = ReadBsdiff40Number(bytes + 16);
      if (add < 0 || extra < 0) return DeltaCorrupt("a length is negative");
      if (add == 0 && extra == 0 && ++idle > kMostIdle)
        return DeltaCorrupt("too many instructions do nothing");
      SHOAL_RETURN_IF_ERROR(Add(static_cast<uint64_t>(add)));
      SHOAL_RETURN_IF_ERROR(Extra(static_cast<uint64_t>(extra)));
      if (__builtin_add_overflow(old_at_, move, &old_at_))
        return DeltaCorrupt("an instruction moves too far");
    }
    if (!options_.expected_sha256.empty() &&
        digest_.Finish() != options_.expected_sha256)
      return DataLoss("wrong_result", "the result has another digest");
    return absl::OkStatus();
  }

 private:
  static constexpr uint64_t kMostIdle = 1 << 20;

  absl::Status Start() {
    if (options_.max_memory < kBsdiff40Memory)
      return ResourceExhausted("delta_memory",
                               "a BSDIFF40 patch needs more memory than is "
                               "granted");
    if (options_.patch_size < kBsdiff40HeaderSize)
      return DataLoss("delta_truncated", "the patch ends in its header");
    char bytes[kBsdiff40HeaderSize];
    SHOAL_RETURN_IF_ERROR(options_.read_patch(0, bytes, sizeof bytes));
    SHOAL_ASSIGN_OR_RETURN(header_, ParseBsdiff40Header({bytes, sizeof bytes},
                                                        options_.patch_size));
    if (header_.new_size != options_.expected_size)
      return FailedPrecondition("wrong_result",
                                "the patch makes another length than expected");
    const uint64_t diff = kBsdiff40HeaderSize + header_.control_size;
    const uint64_t extra = diff + header_.diff_size;
    const auto stream = [&](uint64_t begin, uint64_t end) {
      return std::make_unique<Bzip2Stream>(options_, begin, end);
    };
    control_ = stream(kBsdiff40HeaderSize, diff);
    diff_ = stream(diff, extra);
    extra_ = stream(extra, options_.patch_size);
    for (Bzip2Stream* s : {control_.get(), diff_.get(), extra_.get()})
      SHOAL_RETURN_IF_ERROR(s->Open());
    if (!out_.Allocate(kApplyIoSize) || !old_.Allocate(kApplyIoSize))
      return ResourceExhausted("delta_memory", "no memory for buffers");
    return absl::OkStatus();
  }

  absl::Status Add(uint64_t size) {
    if (size > header_.new_size - written_) return DeltaTooLarge();
    while (size > 0) {
      const size_t n = std::min<uint64_t>(size, kApplyIoSize);
      SHOAL_RETURN_IF_ERROR(diff_->Read(out_.data(), n));
      SHOAL_RETURN_IF_ERROR(AddBase(n));
      SHOAL_RETURN_IF_ERROR(Write(n));
      if (__builtin_add_overflow(old_at_, static_cast<int64_t>(n), &old_at_))
        return DeltaCorrupt("an instruction moves too far");
      size -= n;
    }
    return absl::OkStatus();
  }

  // Adds the base at old_at_ to out_, as far as there is one.
  absl::Status AddBase(size_t size) {
    const int64_t old_size = static_cast<int64_t>(options_.old_size);
    if (old_at_ >= old_size || old_at_ <= -static_cast<int64_t>(size))
      return absl::OkStatus();
    const int64_t begin = std::max<int64_t>(0, old_at_);
    const int64_t end =
        std::min(old_size, old_at_ + static_cast<int64_t>(size));
    const size_t n = static_cast<size_t>(end - begin);
    SHOAL_RETURN_IF_ERROR(
        options_.read_old(static_cast<uint64_t>(begin), old_.data(), n));
    char* out = out_.data() + (begin - old_at_);
    for (size_t i = 0; i < n; ++i)
      out[i] = static_cast<char>(static_cast<uint8_t>(out[i]) +
                                 static_cast<uint8_t>(old_.data()[i]));
    return absl::OkStatus();
  }

  absl::Status Extra(uint64_t size) {
    if (size > header_.new_size - written_) return DeltaTooLarge();
    while (size > 0) {
      const size_t n = std::min<uint64_t>(size, kApplyIoSize);
      SHOAL_RETURN_IF_ERROR(extra_->Read(out_.data(), n));
      SHOAL_RETURN_IF_ERROR(Write(n));
      size -= n;
    }
    return absl::OkStatus();
  }

  absl::Status Write(size_t size) {
    if (options_.cancel != nullptr && options_.cancel->load())
      return MakeError(absl::StatusCode::kCancelled, "cancelled",
                       "applying the delta was cancelled");
    const std::string_view bytes(out_.data(), size);
    digest_.Update(bytes);
    written_ += size;
    SHOAL_RETURN_IF_ERROR(options_.write_new(bytes));
    return options_.progress ? options_.progress(written_) : absl::OkStatus();
  }

  const Bsdiff40Options& options_;
  Bsdiff40Header header_;
  std::unique_ptr<Bzip2Stream> control_, diff_, extra_;
  ApplyBuffer out_, old_;
  int64_t old_at_ = 0;
  uint64_t written_ = 0;
  crypto::Sha256 digest_;
};

}  // namespace

absl::Status ApplyBsdiff40(const Bsdiff40Options& options) {
  return WithoutExceptions([&] { return Bsdiff40Applier(options).Run(); });
}

}  // namespace shoal::delta
