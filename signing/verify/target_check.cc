#include "signing/verify/target_check.h"

#include <fmt/format.h>

#include <utility>

#include "common/status.h"

namespace shoal::signing {

TargetCheck::TargetCheck(TargetFile target) : target_(std::move(target)) {
  if (!target_.sha512.empty()) sha512_.emplace();
}

absl::Status TargetCheck::Length() const {
  return DataLoss("length_mismatch",
                  fmt::format("{} has {}{} bytes, {} are signed", target_.path,
                              length_ > target_.length ? "at least " : "",
                              length_, target_.length));
}

absl::Status TargetCheck::Update(std::string_view bytes) {
  length_ += bytes.size();
  if (length_ > target_.length) return Length();
  sha256_.Update(bytes);
  if (sha512_) sha512_->Update(bytes);
  return absl::OkStatus();
}

absl::Status TargetCheck::Finish() {
  if (target_.sha256.empty() && target_.sha512.empty())
    return FailedPrecondition(
        "unsupported_hash",
        fmt::format("{} is signed by no digest that is known here",
                    target_.path));
  if (length_ != target_.length) return Length();
  if ((!target_.sha256.empty() && sha256_.Finish() != target_.sha256) ||
      (sha512_ && sha512_->Finish() != target_.sha512))
    return DataLoss("hash_mismatch",
                    target_.path + " is not the file that is signed");
  return absl::OkStatus();
}

absl::Status CheckTarget(const TargetFile& target, std::string_view bytes) {
  TargetCheck check(target);
  SHOAL_RETURN_IF_ERROR(check.Update(bytes));
  return check.Finish();
}

}  // namespace shoal::signing
