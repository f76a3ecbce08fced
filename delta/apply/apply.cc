#include "delta/apply/apply.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/bytes.h"
#include "delta/apply/apply_impl.h"

namespace shoal::delta {
namespace {

constexpr uint64_t kProgressStep = 1 << 20;

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

absl::Status Applier::Impl::ReadHeader() {
  if (!options_.read_patch || !options_.read_old || !options_.write_new)
    return InvalidArgument("bad_argument", "a callback is missing");
  if (options_.expected_sha256.size() != crypto::kSha256Size)
    return InvalidArgument("bad_argument", "expected_sha256 is not 32 bytes");
  char bytes[kHeaderSize];
  SHOAL_RETURN_IF_ERROR(ReadExactly(bytes, sizeof bytes));
  SHOAL_ASSIGN_OR_RETURN(header_,
                         ParseHeader(std::string_view(bytes, sizeof bytes)));
  header_checksum_.assign(bytes + kHeaderSize - kChecksumSize, kChecksumSize);
  if (header_.new_size != options_.expected_size ||
      header_.new_sha256 != options_.expected_sha256)
    return FailedPrecondition(
        "wrong_result",
        fmt::format("the patch makes {} bytes with digest {}, expected are {} "
                    "with {}",
                    header_.new_size, HexEncode(header_.new_sha256),
                    options_.expected_size,
                    HexEncode(options_.expected_sha256)));
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
  return ReadResumeState();
}

absl::Status Applier::Impl::Allocate() {
  context_.reset(ZSTD_createDCtx());
  if (context_ == nullptr || !stored_.Allocate(header_.window_size) ||
      !raw_.Allocate(header_.window_size) || !old_io_.Allocate(kApplyIoSize) ||
      !out_.Allocate(kApplyIoSize))
    return ResourceExhausted("delta_memory",
                             "the memory that the patch needs is not there");
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
  if (!options_.resume_state.empty()) SHOAL_RETURN_IF_ERROR(ResumeFromState());
  while (written_ < header_.new_size) {
    SHOAL_RETURN_IF_ERROR(ReadWindow());
    SHOAL_RETURN_IF_ERROR(Flush());
    if (options_.checkpoint) SHOAL_RETURN_IF_ERROR(Checkpoint());
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

absl::Status Applier::Impl::Emit(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), out_.size() - out_used_);
    memcpy(out_.data() + out_used_, bytes.data(), n);
    out_used_ += n;
    written_ += n;
    bytes.remove_prefix(n);
    if (out_used_ == out_.size()) SHOAL_RETURN_IF_ERROR(Flush());
  }
  return absl::OkStatus();
}

absl::Status Applier::Impl::Flush() {
  if (out_used_ > 0) {
    SHOAL_RETURN_IF_ERROR(CheckCancelled());
    const std::string_view bytes(out_.data(), out_used_);
    digest_.Update(bytes);
    out_used_ = 0;
    SHOAL_RETURN_IF_ERROR(options_.write_new(bytes));
  }
  if (options_.progress &&
      (written_ - reported_ >= kProgressStep || written_ == header_.new_size)) {
    reported_ = written_;
    return options_.progress(written_);
  }
  return absl::OkStatus();
}

Applier::Applier(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Applier::~Applier() = default;
const Header& Applier::header() const { return impl_->header(); }
uint64_t Applier::resume_offset() const { return impl_->resume_offset(); }
absl::Status Applier::Run() { return impl_->Run(); }

absl::StatusOr<std::unique_ptr<Applier>> Applier::Create(ApplyOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  SHOAL_RETURN_IF_ERROR(impl->ReadHeader());
  return std::unique_ptr<Applier>(new Applier(std::move(impl)));
}

}  // namespace shoal::delta
