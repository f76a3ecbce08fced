#include "delta/apply/apply.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "delta/apply/apply_impl.h"

namespace shoal::delta {
namespace {

absl::Status Truncated() {
  return DataLoss("delta_truncated",
                  "the patch ends before its result is complete");
}

}  // namespace

absl::Status Applier::Impl::ReadExactly(char* buffer, size_t size) {
  while (size > 0) {
    SHOAL_ASSIGN_OR_RETURN(const size_t got, options_.read_patch(buffer, size));
    if (got == 0) return Truncated();
    if (got > size)
      return Internal("bad_callback", "read_patch gave more than asked for");
    buffer += got;
    size -= got;
    patch_offset_ += got;
  }
  return absl::OkStatus();
}

absl::Status Applier::Impl::CheckCallbacks() const {
  if (!options_.read_patch || !options_.read_old || !options_.write_new)
    return InvalidArgument("bad_argument", "a callback is missing");
  if (options_.expected_sha256.size() != crypto::kSha256Size)
    return InvalidArgument("bad_argument", "expected_sha256 is not 32 bytes");
  return absl::OkStatus();
}

absl::Status Applier::Impl::ReadHeader() {
  SHOAL_RETURN_IF_ERROR(CheckCallbacks());
  char bytes[kHeaderSize];
  SHOAL_RETURN_IF_ERROR(ReadExactly(bytes, sizeof bytes));
  SHOAL_ASSIGN_OR_RETURN(header_,
                         ParseHeader(std::string_view(bytes, sizeof bytes)));
  header_checksum_.assign(bytes + kHeaderSize - kChecksumSize, kChecksumSize);
  SHOAL_RETURN_IF_ERROR(CheckHeader());
  made_size_ = header_.new_size;
  old_made_size_ = header_.old_size;
  if (header_.maps_size != 0) SHOAL_RETURN_IF_ERROR(ReadMaps());
  return ReadResumeState();
}

absl::Status Applier::Impl::CheckHeader() {
  if (header_.new_size != options_.expected_size ||
      header_.new_sha256 != options_.expected_sha256)
    return FailedPrecondition(
        "wrong_result",
        fmt::format("the patch makes {} bytes with digest {}, expected are {} "
                    "with {}",
                    header_.new_size, HexEncode(header_.new_sha256),
                    options_.expected_size,
                    HexEncode(options_.expected_sha256)));
  // What the header says is checked by the reader's own arithmetic.
  needed_memory_ = ReaderMemory(header_);
  if (header_.coding == Coding::kModel) {
    if (MixMemory(header_.model_level) == 0)
      return MakeError(
          absl::StatusCode::kUnimplemented, "unsupported_delta",
          fmt::format("model level {} is not known here", header_.model_level));
    needed_memory_ += MixMemory(header_.model_level);
  }
  if (header_.reader_memory < needed_memory_)
    return DeltaCorrupt("the stated memory is too small for the windows");
  if (header_.reader_memory > options_.max_memory)
    return ResourceExhausted(
        "delta_memory",
        fmt::format("the patch needs {} bytes of memory, {} "
                    "are granted",
                    header_.reader_memory, options_.max_memory));
  if (header_.old_size > options_.old_size)
    return FailedPrecondition(
        "wrong_base", fmt::format("the patch is for a base of {} bytes, here "
                                  "are {}",
                                  header_.old_size, options_.old_size));
  return absl::OkStatus();
}

absl::Status Applier::Impl::ReadMaps() {
  const uint64_t most = header_.reader_memory - needed_memory_;
  if (uint64_t{header_.maps_size} + header_.maps_stored > most)
    return DeltaCorrupt("the stated memory is too small for the maps");
  ApplyBuffer stored, maps;
  if (!stored.Allocate(header_.maps_stored) ||
      !maps.Allocate(header_.maps_size))
    return ResourceExhausted("delta_memory", "no memory for the maps");
  char checksum[kChecksumSize];
  SHOAL_RETURN_IF_ERROR(ReadExactly(checksum, sizeof checksum));
  SHOAL_RETURN_IF_ERROR(ReadExactly(stored.data(), stored.size()));
  if (WindowChecksum(header_checksum_, 0, "", {stored.data(), stored.size()}) !=
      std::string_view(checksum, sizeof checksum))
    return DeltaCorrupt("the maps are damaged");
  if (stored.size() == maps.size()) {
    std::copy_n(stored.data(), stored.size(), maps.data());
  } else {
    const size_t made =
        ZSTD_decompress(maps.data(), maps.size(), stored.data(), stored.size());
    if (ZSTD_isError(made) || made != maps.size())
      return DeltaCorrupt("the maps do not decompress to their length");
  }
  SHOAL_ASSIGN_OR_RETURN(
      images_, Images::Parse({maps.data(), maps.size()}, header_, most));
  made_size_ = images_->new_size();
  old_made_size_ = images_->old_size();
  return absl::OkStatus();
}

absl::Status Applier::Impl::Allocate() {
  const bool model = header_.coding == Coding::kModel;
  context_.reset(ZSTD_createDCtx());
  if (context_ == nullptr || !stored_.Allocate(header_.window_size) ||
      !raw_.Allocate(std::max<size_t>(header_.window_size, kApplyIoSize)) ||
      !old_io_.Allocate(kApplyIoSize) || !out_.Allocate(kApplyIoSize) ||
      (model && !operations_.Allocate(size_t{1} << header_.group_log2)))
    return NoMemory();
  if (model) {
    auto decoder = MixDecoder::Create(header_.model_level);
    if (!decoder.ok()) return NoMemory();  // the level was checked
    model_ = *std::move(decoder);
  }
  return absl::OkStatus();
}

absl::Status Applier::Impl::CheckBase() {
  crypto::Sha256 digest;
  for (uint64_t at = 0; at < header_.old_size;) {
    SHOAL_RETURN_IF_ERROR(CheckCancelled());
    const size_t n = std::min<uint64_t>(kApplyIoSize, header_.old_size - at);
    SHOAL_RETURN_IF_ERROR(options_.read_old(at, old_io_.data(), n));
    digest.Update({old_io_.data(), n});
    at += n;
  }
  const std::string actual = digest.Finish();
  if (actual != header_.old_sha256)
    return FailedPrecondition(
        "wrong_base",
        fmt::format("the patch is for the base {}, here is {}",
                    HexEncode(header_.old_sha256), HexEncode(actual)));
  return absl::OkStatus();
}

absl::Status Applier::Impl::Run() {
  if (ran_) return FailedPrecondition("bad_argument", "Run() is called twice");
  ran_ = true;
  SHOAL_RETURN_IF_ERROR(Allocate());
  SHOAL_RETURN_IF_ERROR(CheckBase());
  if (images_)
    SHOAL_RETURN_IF_ERROR(images_->Open(
        options_.read_old, [this](std::string_view b) { return Write(b); },
        resume_.written));
  if (!options_.resume_state.empty()) SHOAL_RETURN_IF_ERROR(ResumeFromState());
  while (made_ < made_size_) {
    SHOAL_RETURN_IF_ERROR(ReadWindow());
    SHOAL_RETURN_IF_ERROR(Flush());
    if (options_.checkpoint) SHOAL_RETURN_IF_ERROR(Checkpoint());
  }
  if (images_) {
    SHOAL_RETURN_IF_ERROR(images_->Finish());
    SHOAL_RETURN_IF_ERROR(Flush());
  }
  char one;
  SHOAL_ASSIGN_OR_RETURN(const size_t more, options_.read_patch(&one, 1));
  if (more != 0) return DeltaCorrupt("bytes follow after the last window");
  const std::string actual = digest_.Finish();
  if (actual != header_.new_sha256)
    return DataLoss(
        "wrong_result",
        fmt::format("the result has the digest {}, expected is {}",
                    HexEncode(actual), HexEncode(header_.new_sha256)));
  return absl::OkStatus();
}

Applier::Applier(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Applier::~Applier() = default;
const Header& Applier::header() const { return impl_->header(); }
uint64_t Applier::resume_offset() const { return impl_->resume_offset(); }
absl::Status Applier::Run() {
  return WithoutExceptions([&] { return impl_->Run(); });
}

absl::StatusOr<std::unique_ptr<Applier>> Applier::Create(ApplyOptions options) {
  return WithoutExceptions([&]() -> absl::StatusOr<std::unique_ptr<Applier>> {
    auto impl = std::make_unique<Impl>(std::move(options));
    SHOAL_RETURN_IF_ERROR(impl->ReadHeader());
    return std::unique_ptr<Applier>(new Applier(std::move(impl)));
  });
}

}  // namespace shoal::delta
