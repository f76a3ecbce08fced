// Rollouts: what was asked for, what came back, and what is next. Outcomes are
// counted once per device, the newest by the device's own counter.
#ifndef SHOAL_SERVER_ROLLOUT_ROLLOUTS_H_
#define SHOAL_SERVER_ROLLOUT_ROLLOUTS_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
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
#include "server/rollout/lost_devices.h"
#include "server/store/store.h"
#include "server/trust/repository.h"
#include "shoal/rollout/v1/rollout_service.pb.h"

namespace shoal::server {

// Thread-safe.
class Rollouts {
 public:
  Rollouts(Store& store, const RecordWriter& writer, TrustRepository& trust,
           Releases& releases, Deltas& deltas, Devices& devices);

  // Idempotent by request_id. "bad_rollout" and other reasons of
  // rules::ValidateRollout, "unknown_approver", "already_exists".
  absl::StatusOr<rollout::v1::Rollout> Create(
      const rollout::v1::CreateRolloutRequest& request,
      const std::string& principal);
  // What Create() would make of a request, and for which devices.
  struct Draft {
    rollout::v1::RolloutDocument document;
    store::ReleaseRow release;
    std::vector<store::DeviceRow> devices;
    uint32_t device_seconds = 0;
    int64_t delta_wait_seconds = 0;
  };
  absl::StatusOr<Draft> MakeDraft(
      rollout::v1::CreateRolloutRequest request) const;
  // With the outcomes of the first 100 devices.
  absl::StatusOr<rollout::v1::Rollout> Get(const std::string& name) const;
  // Without outcomes: costs the same however many there are.
  absl::StatusOr<rollout::v1::Rollout> Progress(const std::string& name) const;
  // "bad_name", "not_found", "bad_page_size", "bad_page_token".
  absl::StatusOr<rollout::v1::ListOutcomesResponse> ListOutcomes(
      const rollout::v1::ListOutcomesRequest& request) const;
  struct Page {
    std::vector<rollout::v1::Rollout> rollouts;
    std::string next_page_token;
  };
  absl::StatusOr<Page> List(int32_t page_size,
                            const std::string& page_token) const;
  // `principal`: "operator:NAME". "stale_etag"; "not_waiting" unless `phase` is
  // the one behind the open one, or the approval is signed and goes into the
  // document; "not_an_approver"; "bad_signature"; a second approval by one
  // operator changes nothing.
  absl::StatusOr<rollout::v1::Rollout> Approve(
      const rollout::v1::ApprovePhaseRequest& request,
      const std::string& principal);
  // Each as proto/shoal/rollout/v1/rollout_service.proto says. "stale_etag",
  // "not_active", "not_stopped", "not_held", "at_its_end", "error_threshold",
  // "no_release_before", "below_floor".
  absl::StatusOr<rollout::v1::Rollout> Activate(
      const rollout::v1::ActivateRolloutRequest& request,
      const std::string& principal);
  absl::StatusOr<rollout::v1::Rollout> Pause(
      const rollout::v1::PauseRolloutRequest& request,
      const std::string& principal);
  absl::StatusOr<rollout::v1::Rollout> Resume(
      const rollout::v1::ResumeRolloutRequest& request,
      const std::string& principal, bool may_lift_halts);
  absl::StatusOr<rollout::v1::Rollout> Abort(
      const rollout::v1::AbortRolloutRequest& request,
      const std::string& principal);
  // A halt that an operator signed, verified as a record: stored, passed on,
  // obeyed. "bad_halt", "permission_denied".
  absl::StatusOr<rollout::v1::Rollout> Halt(const std::string& name,
                                            const dht::VerifiedRecord& record,
                                            const std::string& principal);

  // Records from the storage nodes.
  absl::Status OnOutcome(Transaction& tx, const dht::VerifiedRecord& record);
  // Outcomes by the key of this report that came in before the plane knew it as
  // the device's (a plane that was set back to an older day) count now.
  absl::Status TakeHeld(Transaction& tx, const dht::VerifiedRecord& report);
  absl::Status OnHalt(Transaction& tx, const dht::VerifiedRecord& record);
  // A device's labels or groups change: in which phases of rollouts at work it
  // was is kept, since what it began there counts there. For
  // DeviceChanges::OnFacts.
  absl::Status KeepPhases(Transaction& tx, const store::DeviceRow& before,
                          const store::DeviceRow& after);

  // For the driver: every row that is not at its end or whose document is
  // behind.
  absl::StatusOr<std::vector<store::RolloutRow>> Live() const;
  // Name of the newest rollout of the same device type that is published,
  // covers this one's devices and was made after it; "" when there is none.
  absl::StatusOr<std::string> SupersededBy(const store::RolloutRow& row) const;
  // Target paths of ended rollouts of a device type that its devices need no
  // longer see: all but the newest five, and those newer than one at work.
  absl::StatusOr<std::vector<std::string>> Retired(
      const std::string& device_type) const;
  // Outcomes counted by phase, with the devices that are lost.
  absl::StatusOr<std::vector<rules::OutcomeCount>> Counts(
      const store::RolloutRow& row) const;
  // Has every device that the rollout concerns now answered for good? Reads all
  // devices of the type and all outcomes of the rollout.
  absl::StatusOr<bool> AllAnswered(const store::RolloutRow& row) const;
  // Device ids in hex of those that spoke and will say nothing else, or of all
  // that are not at it: they wait to be brought up to it, too, but don't try
  // again by themselves.
  enum class Spoke { kForGood, kNotAtIt };
  absl::StatusOr<std::set<std::string>> Answered(const store::RolloutRow& row,
                                                 Spoke spoke) const;
  absl::StatusOr<store::RolloutRow> Row(const std::string& name) const;
  // Every rollout of a device type, newest first.
  absl::StatusOr<std::vector<store::RolloutRow>> OfType(
      const std::string& device_type) const;

 private:
  absl::Status CheckApprovers(
      const rollout::v1::CreateRolloutRequest& request) const;
  // "unknown_group" for one that does not exist, or is on its way out.
  template <typename Selection>  // CreateRolloutRequest, RolloutDocument
  absl::Status CheckGroups(const Selection& selection) const;
  absl::StatusOr<store::RolloutRow> Insert(Transaction& tx, const Draft& draft,
                                           const std::string& principal);
  // Changes one row in one transaction: `change` may refuse.
  absl::StatusOr<rollout::v1::Rollout> ChangeRow(
      const std::string& name, const std::string& etag,
      const std::function<absl::Status(Transaction&, store::RolloutRow&)>&
          change);
  absl::StatusOr<policy::v1::DeviceSelector> SelectorBack(
      const rollout::v1::RolloutDocument& document) const;
  absl::StatusOr<Draft> DraftWayBack(
      const store::RolloutRow& row,
      const rollout::v1::AbortRolloutRequest& request) const;
  // The row as it was parsed last, if its bytes are still the same: outcomes
  // come by the thousand of one rollout.
  absl::StatusOr<std::shared_ptr<const store::RolloutRow>> ParsedRow(
      const Transaction& tx, const std::string& id) const;
  // Signed documents of rollouts that have not ended; under the writer's lock.
  using Documents = std::vector<rollout::v1::RolloutDocument>;
  absl::StatusOr<std::shared_ptr<const Documents>> AtWork(
      const Transaction& tx);
  static absl::StatusOr<bool> WasExpected(const Transaction& tx,
                                          const std::string& rollout,
                                          const store::DeviceRow& device);
  // The phase that an outcome counts in; -1: the device never was in any.
  absl::StatusOr<int> PhaseOfOutcome(
      const Transaction& tx, const rollout::v1::RolloutDocument& document,
      const store::DeviceRow& device, uint32_t claimed,
      const store::OutcomeRow* existing) const;
  // Ids in hex of devices that left the rollout while they were at it perhaps:
  // a while ago at most.
  absl::StatusOr<std::set<std::string>> JustLeft(
      const store::RolloutRow& row) const;
  absl::Status Hold(Transaction& tx, const dht::VerifiedRecord& record,
                    const std::string& rollout);
  // Without outcomes.
  absl::StatusOr<rollout::v1::Rollout> View(const store::RolloutRow& row) const;
  Store& store_;
  const RecordWriter& writer_;
  TrustRepository& trust_;
  Releases& releases_;
  Deltas& deltas_;
  Devices& devices_;
  mutable LostDevices lost_;
  struct Parsed {
    std::string bytes;
    std::shared_ptr<const store::RolloutRow> row;
  };
  mutable std::mutex parsed_mutex_;
  mutable std::map<std::string, Parsed> parsed_;  // by id
  std::mutex at_work_mutex_;
  std::shared_ptr<const Documents> at_work_;  // null: look again
};

// "rollouts/ID" → ID; "bad_name".
absl::StatusOr<std::string> RolloutKey(const std::string& name);
// Nothing more happens by itself; a halted one may be resumed.
bool IsFinal(rollout::v1::RolloutState state);
// Higher is done first: URGENT 3, NORMAL 2, LOW 1.
int Rank(const store::RolloutRow& row);
// Whether the rollout selects the device; one that leads back concerns those
// that run the image which it leads back from, and no other.
bool Concerns(const rollout::v1::RolloutDocument& document,
              const store::DeviceRow& device);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_ROLLOUTS_H_
