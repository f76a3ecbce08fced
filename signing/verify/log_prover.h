// Finds the proofs of the release log under one head, whoever has them; for
// this folder only.
#ifndef SHOAL_SIGNING_VERIFY_LOG_PROVER_H_
#define SHOAL_SIGNING_VERIFY_LOG_PROVER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "shoal/log/v1/log.pb.h"
#include "signing/log/merkle.h"
#include "signing/metadata/metadata.h"
#include "signing/verify/fetcher.h"

namespace shoal::signing {

// A proof file as it comes from anybody. "bad_log_proof" unless it is of this
// head and within its bounds; what its paths prove is not looked at.
absl::StatusOr<log::v1::LogProof> ParseLogProof(std::string_view bytes,
                                                const LogHead& head);

// One head, one thread. Asks for the head's proof file first, then computes
// from tiles; each from one source after the other until one gives a proof that
// holds. "log_unproven" (kUnavailable) when none does.
class LogProver {
 public:
  LogProver(const LogHead& head, Fetcher& source)
      : head_(head), source_(source) {}

  // The root that the first `size` leaves have under the head.
  absl::StatusOr<std::string> RootAt(uint64_t size);
  // That the leaf (its hash) stands where the head says its snapshot is.
  absl::Status ProveSnapshot(const std::string& leaf_hash);

 private:
  void LoadProofs();
  ReadLogNode Tiles(size_t source, bool* over);
  absl::Status Unproven() const;

  const LogHead& head_;
  Fetcher& source_;
  std::optional<std::vector<log::v1::LogProof>> proofs_;
  absl::Status last_;
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_LOG_PROVER_H_
