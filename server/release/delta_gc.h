// Removes what no device needs: deltas whose base nobody runs any more or whose
// release nobody goes to, and the signed indexes of rollouts that ended.
//
// Needed is a delta that Deltas::Demand() asks for and whose base devices run,
// and every one that the index of a rollout names which is not at its end (a
// halted one may be resumed). What is not needed for the grace period goes, in
// one change: the signed target and the row. The file goes afterwards
// (server/release/blob_sweeper.h).
#ifndef SHOAL_SERVER_RELEASE_DELTA_GC_H_
#define SHOAL_SERVER_RELEASE_DELTA_GC_H_

#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/publish/publisher.h"
#include "server/release/blob_sweeper.h"
#include "server/release/deltas.h"

namespace shoal::server {

// Thread-safe.
class DeltaCollector {
 public:
  DeltaCollector(Store& store, TrustRepository& trust, Publisher& publisher,
                 Releases& releases, const Deltas& deltas, BlobSweeper& sweeper)
      : store_(store),
        trust_(trust),
        publisher_(publisher),
        releases_(releases),
        deltas_(deltas),
        sweeper_(sweeper) {}

  // What Collect() would do now. Changes nothing.
  absl::StatusOr<release::v1::CollectDeltasResponse> Look() const;
  // Also notes what became unused, and sweeps.
  absl::StatusOr<release::v1::CollectDeltasResponse> Collect(
      const std::string& principal);

 private:
  struct Plan {
    std::map<std::string, store::DeltaRow> gone;    // by row key
    std::map<std::string, store::DeltaRow> unused;  // still in their grace
    std::map<std::string, store::DeltaRow> noted;   // unused_since changes
    std::set<std::string> targets;                  // indexes that go
  };
  absl::StatusOr<Plan> MakePlan() const;
  absl::StatusOr<release::v1::CollectDeltasResponse> View(
      const Plan& plan) const;
  absl::Status Drop(Transaction& tx, const Plan& plan,
                    const std::string& principal) const;

  Store& store_;
  TrustRepository& trust_;
  Publisher& publisher_;
  Releases& releases_;
  const Deltas& deltas_;
  BlobSweeper& sweeper_;
};

// A made delta for people; of deltas that are wanted deltas.cc knows more.
release::v1::ReleaseDelta DeltaView(const std::string& release,
                                    const store::DeltaRow& row);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_RELEASE_DELTA_GC_H_
