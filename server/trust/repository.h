// The fleet's TUF repository as the plane keeps it: offline roles as they were
// signed, the online ones (director, director-TYPE, snapshot, timestamp)
// signed here. Every change is first tried on a copy by the same client code
// that devices run, from the state that a device has now; only what passes is
// committed. Knows nothing of how it is published.
#ifndef SHOAL_SERVER_TRUST_REPOSITORY_H_
#define SHOAL_SERVER_TRUST_REPOSITORY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/identity/plane_keys.h"
#include "server/store/store.h"
#include "server/trust/memory_files.h"
#include "server/trust/release_log.h"
#include "shoal/policy/v1/policy.pb.h"
#include "signing/metadata/metadata.h"
#include "signing/verify/fleet_trust.h"
#include "signing/verify/updater.h"

namespace shoal::server {

// What the fleet trusts now: plain values, replaced as a whole.
struct TrustView {
  signing::FleetTrust fleet;
  policy::v1::AccessPolicy policy;
  std::string policy_sha256;                 // 32 bytes; empty: no policy
  std::map<std::string, uint64_t> versions;  // role → version
  std::vector<std::string> device_types;     // those with an fw- role
  absl::Time timestamp_expires;
  std::vector<std::string> roots;  // root.json from version 1 on
  // Newest file of every other role: "3.targets.json" → bytes.
  std::map<std::string, std::string> metadata;
  // The lists of DeviceRevocations that are in force, by target path.
  std::map<std::string, std::string> revocations;
  signing::LogHead log;  // what the timestamp says of the release log
};

struct RepositoryChange {
  // Offline metadata by file name ("2.policy.json").
  std::map<std::string, std::string> metadata;
  // Bytes of targets that offline metadata names ("policy/access.json").
  std::map<std::string, std::string> documents;
  // Targets of the director: path → bytes. "director/TYPE/rollout/ID",
  // "director/TYPE/deltas/VERSION".
  std::map<std::string, std::string> put;
  std::vector<std::string> remove;
};

// Thread-safe.
class TrustRepository {
 public:
  // Called after a commit, with all metadata files and documents of the
  // change: file name or target path → bytes.
  struct Changed {
    std::map<std::string, std::string> metadata;
    std::map<std::string, std::string> documents;  // by target path
    bool timestamp_only = false;
    // Of the release log: bundles by number, the proof by the head's root, and
    // the root whose proof nobody needs any more.
    std::map<uint64_t, std::string> log_bundles;
    std::string log_root;
    std::string log_proof;
    std::string log_retired;
  };

  // An empty store is fine: View() is null until the first Apply. The online
  // roles are signed anew when they are past half of their lives.
  static absl::StatusOr<std::unique_ptr<TrustRepository>> Open(
      Store& store, const PlaneKeys& keys, Clock& clock,
      absl::Duration timestamp_lifetime);

  std::shared_ptr<const TrustView> View() const;

  // Verifies and commits `change` in one transaction; `also` may add to it
  // (rows of the caller, records to publish) and may refuse. Reasons: the
  // Updater's ("bad_signature", "rollback", …), "bad_metadata_name",
  // "online_role", "no_trust", "wrong_director_key".
  using AddToChange = std::function<absl::Status(Transaction&, const Changed&,
                                                 const TrustView&)>;
  absl::Status Apply(const RepositoryChange& change, const AddToChange& also);

  // A new timestamp when the newest is older than `age`, and whatever else is
  // past half of its life; true: something was signed.
  absl::StatusOr<bool> Renew(absl::Duration age, const AddToChange& also);

  // The fw- target of an image by the metadata in force: kNotFound
  // "unknown_target".
  absl::StatusOr<signing::TargetFile> FindTarget(std::string_view path);

  // Tries `metadata` (file name → bytes) beside what is in force and looks up
  // `path` in the result; changes nothing.
  absl::StatusOr<signing::TargetFile> FindTargetWith(
      const std::map<std::string, std::string>& metadata,
      std::string_view path);

  // All bundles of the release log and the proof of the head in force, for
  // whoever publishes anew.
  absl::Status AddLog(Changed& changed) const;
  // The proof under `head`, a view's, from the log of `size` entries: name
  // below log/ → bytes. Whoever answers a view's timestamp asks with that
  // view's head: by now there may be a newer one. kNotFound "no_log".
  absl::StatusOr<std::pair<std::string, std::string>> LogProof(
      const signing::LogHead& head, uint64_t size) const;
  // Brings the served files of the release log up to the head in force.
  absl::Status CopyLog(signing::LogDirectory& directory) const;

  // `timestamps` are what the fleet's network holds, of anybody's. One that the
  // keys in force signed must be of this log's past: kFailedPrecondition
  // "behind_network", and whatever would be signed over this store is a fork.
  // One that is newer by its version alone, over a head of this log, is
  // passed: true, and Renew() signs a version above it.
  absl::StatusOr<bool> CheckPast(const std::vector<std::string>& timestamps);

  // Every file of the tree that is kept in the store: relative path → bytes.
  absl::StatusOr<std::map<std::string, std::string>> Tree() const;

 private:
  struct Candidate;
  TrustRepository(Store& store, const PlaneKeys& keys, Clock& clock,
                  absl::Duration timestamp_lifetime);
  absl::Status Load();
  absl::StatusOr<Candidate> Build(const RepositoryChange& change,
                                  bool new_timestamp);
  absl::Status SignOnline(Candidate& candidate, bool new_timestamp);
  absl::Status GrowLog(Candidate& candidate, bool new_snapshot);
  absl::Status Verify(Candidate& candidate);
  absl::Status Commit(Candidate& candidate, const AddToChange& also);

  Store& store_;
  const PlaneKeys& keys_;
  Clock& clock_;
  const absl::Duration timestamp_lifetime_;
  std::mutex change_mutex_;       // one change at a time
  uint64_t least_timestamp_ = 0;  // version that the next one is above
  // The plane's own client state, and all current files.
  std::shared_ptr<MemoryFiles> client_files_;
  std::map<std::string, std::string> files_;      // by file name
  std::map<std::string, std::string> documents_;  // by target path
  ReleaseLog log_;
  mutable std::mutex view_mutex_;
  std::shared_ptr<const TrustView> view_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_TRUST_REPOSITORY_H_
