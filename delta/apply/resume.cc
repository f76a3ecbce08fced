#include <algorithm>

#include "common/bytes.h"
#include "delta/apply/apply_impl.h"

namespace shoal::delta {
namespace {

constexpr std::string_view kStateMagic = "SDS2";
// magic, header checksum; where to begin in the patch and what is made before
// that; up to where it was made; written; digest of that; checksum
constexpr size_t kStateSize = 4 + 8 + 8 + 8 + 8 + 8 + 32 + 8;

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
  Resume resume;
  resume.restart.patch_offset = ReadBigEndian(state.substr(12), 8);
  resume.restart.made = ReadBigEndian(state.substr(20), 8);
  resume.made = ReadBigEndian(state.substr(28), 8);
  resume.written = ReadBigEndian(state.substr(36), 8);
  resume.digest = std::string(state.substr(44, 32));
  if (resume.restart.patch_offset < kHeaderSize ||
      resume.restart.made > resume.made || resume.made > made_size_ ||
      resume.written > header_.new_size)
    return BadResume("the resume state is impossible");
  resume_ = std::move(resume);
  return absl::OkStatus();
}

absl::Status Applier::Impl::ResumeFromState() {
  for (uint64_t at = 0; at < resume_.written;) {
    SHOAL_RETURN_IF_ERROR(CheckCancelled());
    const size_t n = std::min<uint64_t>(kApplyIoSize, resume_.written - at);
    SHOAL_RETURN_IF_ERROR(options_.read_new(at, old_io_.data(), n));
    digest_.Update({old_io_.data(), n});
    at += n;
  }
  if (crypto::Sha256(digest_).Finish() != resume_.digest)
    return BadResume("what was written before is not there any more");
  if (images_ && images_->point().expanded_offset != resume_.made)
    return BadResume("the resume state does not fit the maps");
  const uint64_t start = resume_.restart.patch_offset;
  while (patch_offset_ < start) {
    const size_t n = std::min<uint64_t>(kApplyIoSize, start - patch_offset_);
    SHOAL_RETURN_IF_ERROR(ReadExactly(old_io_.data(), n));
  }
  made_ = resume_.restart.made;
  written_ = reported_ = resume_.written;
  return absl::OkStatus();
}

void Applier::Impl::NoteRestart() {
  if (restart_count_ > 0 &&
      restarts_[(restart_count_ - 1) % kRestarts].patch_offset == patch_offset_)
    return;
  restarts_[restart_count_++ % kRestarts] = {patch_offset_, made_};
}

absl::Status Applier::Impl::Checkpoint() {
  // Not yet where the interruption was: the state before is still the best.
  if (made_ < resume_.made) return absl::OkStatus();
  // Between groups the next window is a place to begin at.
  if (group_left_ == 0) NoteRestart();
  uint64_t made = made_;
  if (images_) {
    const RebuildPoint point = images_->point();
    // Within a block that is written as it is made: the state before stands.
    if (point.image_offset != written_) return absl::OkStatus();
    made = point.expanded_offset;
  }
  // The last place to begin at that is not beyond what must be made again.
  const size_t kept = std::min(restart_count_, kRestarts);
  Restart restart;
  for (size_t i = 1; i <= kept && restart.patch_offset == 0; ++i) {
    const Restart& candidate = restarts_[(restart_count_ - i) % kRestarts];
    if (candidate.made <= made) restart = candidate;
  }
  if (restart.patch_offset == 0) return absl::OkStatus();
  std::string state(kStateMagic);
  state += header_checksum_;
  AppendBigEndian(state, restart.patch_offset, 8);
  AppendBigEndian(state, restart.made, 8);
  AppendBigEndian(state, made, 8);
  AppendBigEndian(state, written_, 8);
  state += crypto::Sha256(digest_).Finish();
  state += crypto::Sha256Digest(state).substr(0, kChecksumSize);
  return options_.checkpoint(written_, state);
}

}  // namespace shoal::delta
