// Deletes a release: its row, the deltas to and from its image that no rollout
// at work names, and what the plane's own roles signed of it, in one change;
// the files afterwards (server/release/blob_sweeper.h).
#ifndef SHOAL_SERVER_RELEASE_RELEASE_DELETE_H_
#define SHOAL_SERVER_RELEASE_RELEASE_DELETE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/publish/publisher.h"
#include "server/release/blob_sweeper.h"
#include "server/release/releases.h"
#include "server/store/store.h"
#include "server/trust/repository.h"
#include "shoal/release/v1/release_service.pb.h"

namespace shoal::server {

// Thread-safe.
class ReleaseDeleter {
 public:
  ReleaseDeleter(Store& store, TrustRepository& trust, Publisher& publisher,
                 Releases& releases, BlobSweeper& sweeper)
      : store_(store),
        trust_(trust),
        publisher_(publisher),
        releases_(releases),
        sweeper_(sweeper) {}

  // As proto/shoal/release/v1/release_service.proto says. "bad_name",
  // "not_found", "stale_etag", "release_in_use", "way_back", "release_running";
  // "changed_meanwhile" (kAborted): try again.
  absl::StatusOr<release::v1::DeleteReleaseResponse> Delete(
      const release::v1::DeleteReleaseRequest& request,
      const std::string& principal);

 private:
  struct Plan {
    release::v1::DeleteReleaseResponse answer;
    std::vector<std::string> delta_rows;  // keys
    std::vector<std::string> targets;     // of delta indexes
  };
  // What goes now; the refusals but for the etag.
  absl::StatusOr<Plan> MakePlan(
      const release::v1::DeleteReleaseRequest& request) const;
  absl::Status Judge(const store::ReleaseRow& row, bool allow_in_use,
                     release::v1::DeleteReleaseResponse& answer) const;
  absl::Status AddDeltas(const store::ReleaseRow& row, Plan& plan) const;
  absl::Status AddBytes(const store::ReleaseRow& row, Plan& plan) const;
  // Within the change: nothing that speaks against the plan came since.
  absl::Status Drop(Transaction& tx, const Plan& plan,
                    const release::v1::DeleteReleaseRequest& request,
                    const std::string& principal) const;

  Store& store_;
  TrustRepository& trust_;
  Publisher& publisher_;
  Releases& releases_;
  BlobSweeper& sweeper_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_RELEASE_RELEASE_DELETE_H_
