// What the windows made, on its way to the image.
#include <algorithm>
#include <cstring>

#include "delta/apply/apply_impl.h"

namespace shoal::delta {
namespace {

constexpr uint64_t kProgressStep = 1 << 20;

}  // namespace

absl::Status Applier::Impl::Emit(std::string_view bytes) {
  // Made a second time after an interruption, only for the model's sake.
  if (made_ < resume_.made) {
    const size_t skip = std::min<uint64_t>(bytes.size(), resume_.made - made_);
    made_ += skip;
    bytes.remove_prefix(skip);
  }
  made_ += bytes.size();
  if (bytes.empty()) return absl::OkStatus();
  return images_ ? images_->Write(bytes) : Write(bytes);
}

absl::Status Applier::Impl::Write(std::string_view bytes) {
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

}  // namespace shoal::delta
