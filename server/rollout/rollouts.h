// Rollouts: what was asked for, what came back, and what is next. Outcomes are
// counted once per device, the newest by the device's own counter.
#ifndef SHOAL_SERVER_ROLLOUT_ROLLOUTS_H_
#define SHOAL_SERVER_ROLLOUT_ROLLOUTS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dht/records/record.h"
#include "rules/rollout.h"
#include "server/fleet/devices.h"
#include "server/publish/publisher.h"
#include "server/release/deltas.h"
#include "server/release/releases.h"
#include "server/store/store.h"
#include "server/trust/repository.h"
#include "shoal/rollout/v1/rollout_service.pb.h"

namespace shoal::server {

// Thread-safe.
class Rollouts {
 public:
  Rollouts(Store& store, const RecordWriter& writer, TrustRepository& trust,
           Releases& releases, Deltas& deltas, Devices& devices);

  // Idempotent by request_id. "bad_rollout", "bad_selector", "already_exists".
  absl::StatusOr<rollout::v1::Rollout> Create(
      rollout::v1::CreateRolloutRequest request, const std::string& principal);
  absl::StatusOr<rollout::v1::Rollout> Get(const std::string& name) const;
  struct Page {
    std::vector<rollout::v1::Rollout> rollouts;
    std::string next_page_token;
  };
  absl::StatusOr<Page> List(int32_t page_size,
                            const std::string& page_token) const;
  // "stale_etag", "not_waiting" unless `phase` is the one whose gate is next
  // or the one behind it.
  absl::StatusOr<rollout::v1::Rollout> Approve(const std::string& name,
                                               uint32_t phase,
                                               const std::string& etag,
                                               const std::string& principal);
  // A halt that an operator signed, verified as a record: stored, passed on,
  // obeyed. "bad_halt", "permission_denied".
  absl::StatusOr<rollout::v1::Rollout> Halt(const std::string& name,
                                            const dht::VerifiedRecord& record,
                                            const std::string& principal);

  // Records from the storage nodes.
  absl::Status OnOutcome(Transaction& tx, const dht::VerifiedRecord& record);
  absl::Status OnHalt(Transaction& tx, const dht::VerifiedRecord& record);

  // For the driver: every row that is not at its end or whose document is
  // behind.
  absl::StatusOr<std::vector<store::RolloutRow>> Live() const;
  // Name of the newest rollout of the same device type that is published,
  // covers this one's devices and was made after it; "" when there is none.
  absl::StatusOr<std::string> SupersededBy(const store::RolloutRow& row) const;
  // Target paths of ended rollouts of a device type that its devices need no
  // longer see: all but the newest five.
  absl::StatusOr<std::vector<std::string>> Retired(
      const std::string& device_type) const;
  // Outcomes counted by phase.
  absl::StatusOr<std::vector<rules::OutcomeCount>> Counts(
      const store::RolloutRow& row) const;

 private:
  absl::StatusOr<rollout::v1::Rollout> View(const store::RolloutRow& row) const;
  Store& store_;
  const RecordWriter& writer_;
  TrustRepository& trust_;
  Releases& releases_;
  Deltas& deltas_;
  Devices& devices_;
};

// "rollouts/ID" → ID; "bad_name".
absl::StatusOr<std::string> RolloutKey(const std::string& name);
bool IsFinal(rollout::v1::RolloutState state);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_ROLLOUTS_H_
