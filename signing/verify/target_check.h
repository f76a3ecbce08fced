// Whether bytes are a target, as they arrive.
#ifndef SHOAL_SIGNING_VERIFY_TARGET_CHECK_H_
#define SHOAL_SIGNING_VERIFY_TARGET_CHECK_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/sha512.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {

// One thread. Errors are kDataLoss: "length_mismatch", "hash_mismatch";
// kFailedPrecondition "unsupported_hash" when the metadata gives no digest
// that is known here.
class TargetCheck {
 public:
  explicit TargetCheck(TargetFile target);
  // Refuses the first byte beyond the signed length (T02).
  absl::Status Update(std::string_view bytes);
  // Once, after the last byte: every known digest that is signed must fit.
  absl::Status Finish();

 private:
  absl::Status Length() const;
  const TargetFile target_;
  uint64_t length_ = 0;
  crypto::Sha256 sha256_;
  std::optional<crypto::Sha512> sha512_;
};

// All of it at once.
absl::Status CheckTarget(const TargetFile& target, std::string_view bytes);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_TARGET_CHECK_H_
