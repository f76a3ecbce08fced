// The client of a fleet's TUF repository: the whole workflow of the
// specification's section 5, over any transport.
//
//   DirectoryFetcher source(fs, "/media/usb/repo");
//   SHOAL_ASSIGN_OR_RETURN(auto updater, Updater::Open({…}));
//   SHOAL_RETURN_IF_ERROR(updater->Refresh(source));
//   SHOAL_ASSIGN_OR_RETURN(TargetFile t, updater->GetTarget(source, path));
//
// What was verified is kept in a directory (docs/metadata.md has its layout),
// each file replaced atomically as soon as it is trusted: when a later role
// fails, what was already trusted stays, and so does the last complete set.
// Versions in it never go back.
//
// Reasons (code):
//   bad_signature       kPermissionDenied    fewer distinct valid keys than the
//                                            threshold
//   wrong_fleet         kPermissionDenied    root 1 is not the one that the
//                                            fleet id names
//   expired_metadata    kFailedPrecondition  also a freeze (T05)
//   rollback            kFailedPrecondition  a version went back, or a role
//                                            vanished
//   unsupported_hash    kFailedPrecondition  pinned by unknown digests only
//   wrong_role          kPermissionDenied    GetTargetOf: another role says so
//   not_refreshed       kFailedPrecondition  neither Refresh nor UseStored
//                                            succeeded
//   wrong_version       kDataLoss            not the version that was asked for
//                                            or pinned
//   length_mismatch, hash_mismatch           kDataLoss
//   bad_metadata        kInvalidArgument
//   metadata_too_large  kResourceExhausted
//   too_many_roots      kResourceExhausted   more rotations than the cap in one
//                                            refresh; the next goes on
//   too_many_delegations kResourceExhausted  the cap ended a look-up
//   metadata_missing    kNotFound            the repository, or its snapshot,
//                                            lacks a file it must have
//   unknown_target      kNotFound            no role that may say so names the
//                                            path
//   unknown_role        kNotFound
//   log_fork            kFailedPrecondition  the release log is another one
//   than
//                                            before: proven, and lasting until
//                                            root replaces the timestamp's key
//   log_missing         kFailedPrecondition  a timestamp without a log, after
//                                            one with it
//   log_unproven        kUnavailable         no source has the proofs yet
// and whatever a Fetcher or FileSystem returns.
#ifndef SHOAL_SIGNING_VERIFY_UPDATER_H_
#define SHOAL_SIGNING_VERIFY_UPDATER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/files.h"
#include "signing/metadata/metadata.h"
#include "signing/verify/algorithms.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/time_floor.h"

namespace shoal::log::v1 {
class LogMemory;
}

namespace shoal::signing {

// What another timestamp says of the release log, beside the one kept.
enum class LogVerdict {
  kAgrees,  // one log is the beginning of the other
  kFork,    // proven: the same key signed two logs
};

struct UpdaterOptions {
  std::string directory;  // made when missing
  // 32 bytes: SHA-256 of root version 1, the anchor of everything…
  std::string fleet_id;
  // …unless the anchor is the root.json that InstallRoot put into the
  // directory, as stock TUF clients have it; then fleet_id is empty.
  bool anchored_by_root = false;
  // The bytes of root version 1, when at hand (from pairing); else fetched.
  std::string root_v1;
  uint32_t max_root_rotations = 256;  // per refresh
  uint32_t max_delegations = 32;      // roles visited per look-up
  VerifierPolicy policy = {};         // a device's is the default
};

// One thread at a time.
class Updater {
 public:
  // `fs` and `clock` outlive it. A store that belongs to another fleet is
  // "wrong_fleet"; damaged non-root files in it are dropped and fetched anew.
  static absl::StatusOr<std::unique_ptr<Updater>> Open(UpdaterOptions options,
                                                       FileSystem& fs,
                                                       Clock& clock);
  ~Updater();

  // Makes `root`, of any version, got over a channel that is trusted, the
  // anchor of `directory` and forgets all other metadata there. Only a root
  // that its own keys sign is taken. No Updater may be open on the directory.
  static absl::Status InstallRoot(const std::string& directory,
                                  std::string_view root,
                                  const VerifierPolicy& policy, FileSystem& fs);

  // Root rotation, timestamp, snapshot, targets; all expiries are checked
  // against one start time. A timestamp with the version already trusted is
  // fine, even with other content: the one trusted first stays, and
  // equivocation() says so. When it fails, questions are answered
  // from the last set that was complete, unless root rotated meanwhile: then
  // UseStored must succeed first. Call Refresh or UseStored before a decision,
  // not once a day: expiry is judged by the time of that call.
  absl::Status Refresh(Fetcher& source);

  // Whether these bytes may be what Refresh is to be given next as `version`
  // (none: the timestamp) of `role`, as far as what is trusted by now can tell:
  // signatures, the version, length and digest where another file pins them.
  // For sources that find several candidates in one place, put there by whoever
  // likes, so that one who was never asked doesn't hide the one that counts.
  // Refresh verifies all the same.
  absl::Status MayBe(std::string_view role, std::optional<uint64_t> version,
                     std::string_view bytes) const;

  // Instead of Refresh, without any source: what the store holds, verified
  // again, under the same expiry rules; so a fleet goes on without its plane
  // until the timestamp expires. With `allow_expired` (to read records, not
  // to install) expiry is not looked at; see fresh().
  absl::Status UseStored(bool allow_expired = false);

  // Whether the last Refresh met a timestamp of the version already trusted
  // with other content: somebody signs two truths.
  bool equivocation() const;

  // What is kept of the release log; the fork in it is the alarm.
  const log::v1::LogMemory& log() const;
  // Whether the release log of `timestamp`, which somebody else was given, and
  // the one kept are one. A timestamp that the keys in force did not sign, or
  // of a fleet without a log, is an error and says nothing; so is one that
  // cannot be connected now ("log_unproven"). A fork is kept, with its
  // evidence. After Refresh or UseStored.
  absl::StatusOr<LogVerdict> CompareLog(Fetcher& source,
                                        std::string_view timestamp);

  // Two timestamps that somebody shows as the proof of a fork: OK when they are
  // one, by the keys in force and by their heads alone; it is kept as this
  // reader's own would be. kInvalidArgument "no_fork" when both can be true. A
  // signature that is not of the keys in force says nothing: an error.
  absl::Status TakeForkProof(std::string_view one, std::string_view other);

  // Whether the last Refresh or UseStored enforced expiry and succeeded.
  bool fresh() const;
  // How long the state stays fresh: the earliest expiry of the top roles.
  absl::Time FreshUntil() const;

  // Pre-order search over the delegations. `source` may be null: then only
  // what the store holds is used.
  absl::StatusOr<TargetFile> GetTarget(Fetcher* source, std::string_view path);

  // The same where only one role's word counts, whatever the delegations say:
  // when the search ends at another role, "wrong_role".
  absl::StatusOr<TargetFile> GetTargetOf(Fetcher* source, std::string_view role,
                                         std::string_view path);

  // The bytes of a target of at most `max_bytes`, verified; kept in the store.
  absl::StatusOr<std::string> FetchTarget(Fetcher* source,
                                          const TargetFile& target,
                                          uint64_t max_bytes);

  // All targets of a delegated role that it may speak for. "targets", a role
  // that targets.json delegates to, or PARENT-x delegated by such a PARENT.
  absl::StatusOr<std::vector<TargetFile>> TargetsOf(Fetcher* source,
                                                    std::string_view role);
  // The whole verified metadata of such a role.
  absl::StatusOr<Targets> RoleMetadata(Fetcher* source, std::string_view role);

  // Raw ed25519 public keys of a role: "root", "targets", "snapshot",
  // "timestamp", or as for TargetsOf.
  absl::StatusOr<std::vector<std::string>> DelegationKeys(
      Fetcher* source, std::string_view role);

  // Valid after Refresh or UseStored (a broken invariant otherwise).
  const Root& root() const;
  const Targets& targets() const;
  const Snapshot& snapshot() const;
  const Timestamp& timestamp() const;
  // The verified bytes of a role's file as stored; kNotFound "unknown_role".
  absl::StatusOr<std::string> StoredBytes(std::string_view role) const;

  const std::string& fleet_id() const;
  // Never below the persisted floor.
  absl::Time Now() const;
  TimeFloor& time_floor();

 private:
  struct Impl;
  explicit Updater(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_UPDATER_H_
