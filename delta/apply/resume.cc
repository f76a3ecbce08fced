#include <algorithm>

#include "common/bytes.h"
#include "delta/apply/apply_impl.h"

namespace shoal::delta {
namespace {

constexpr std::string_view kStateMagic = "SDS1";
// magic, header checksum, patch offset, new offset, digest of what was
// written, checksum
constexpr size_t kStateSize = 4 + 8 + 8 + 8 + 32 + 8;

absl::Status BadResume(std::string_view what) {
  return FailedPrecondition("bad_resume", what);
}

}  // namespace

absl::Status Applier::Impl::ReadResumeState() {
  const std::string_view state = options_.resume_state;
  if (state.empty()) return absl::OkStatus();
  if (!options_.read_new)
    return InvalidArgument("bad_argument", "resuming needs read_new");
  if (state.size() != kStateSize || state.substr(0, 4) != kStateMagic)
    return BadResume("this is not a resume state");
  const std::string_view covered = state.substr(0, kStateSize - kChecksumSize);
  if (crypto::Sha256Digest(covered).substr(0, kChecksumSize) !=
      state.substr(covered.size()))
    return BadResume("the resume state is damaged");
  if (state.substr(4, 8) != header_checksum_)
    return BadResume("the resume state is of another patch");
  resume_.patch_offset = ReadBigEndian(state.substr(12), 8);
  resume_.new_offset = ReadBigEndian(state.substr(20), 8);
  resume_.digest = std::string(state.substr(28, 32));
  if (resume_.patch_offset < kHeaderSize ||
      resume_.new_offset > header_.new_size)
    return BadResume("the resume state is impossible");
  return absl::OkStatus();
}

absl::Status Applier::Impl::ResumeFromState() {
  for (uint64_t at = 0; at < resume_.new_offset;) {
    SHOAL_RETURN_IF_ERROR(CheckCancelled());
    const size_t n = std::min<uint64_t>(kApplyIoSize, resume_.new_offset - at);
    SHOAL_RETURN_IF_ERROR(options_.read_new(at, old_io_.data(), n));
    digest_.Update({old_io_.data(), n});
    at += n;
  }
  if (crypto::Sha256(digest_).Finish() != resume_.digest)
    return BadResume("what was written before is not there any more");
  while (patch_offset_ < resume_.patch_offset) {
    const size_t n =
        std::min<uint64_t>(kApplyIoSize, resume_.patch_offset - patch_offset_);
    SHOAL_RETURN_IF_ERROR(ReadExactly(old_io_.data(), n));
  }
  written_ = reported_ = resume_.new_offset;
  return absl::OkStatus();
}

absl::Status Applier::Impl::Checkpoint() {
  std::string state(kStateMagic);
  state += header_checksum_;
  AppendBigEndian(state, patch_offset_, 8);
  AppendBigEndian(state, written_, 8);
  state += crypto::Sha256(digest_).Finish();
  state += crypto::Sha256Digest(state).substr(0, kChecksumSize);
  return options_.checkpoint(written_, state);
}

}  // namespace shoal::delta
