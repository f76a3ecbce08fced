// For the files of this folder only.
#ifndef SHOAL_SIGNING_VERIFY_UPDATER_IMPL_H_
#define SHOAL_SIGNING_VERIFY_UPDATER_IMPL_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "signing/verify/log_keeper.h"
#include "signing/verify/trusted_set.h"
#include "signing/verify/updater.h"

namespace shoal::signing {

// A delegated role as its delegators see it.
struct FoundRole {
  DelegatedRole role;
  std::map<std::string, Key> keys;
  // The delegations that lead to it, and those that stand before one of them
  // and are terminating: paths that match these are not its own.
  std::vector<DelegatedRole> ancestors;
  std::vector<DelegatedRole> shadows;
};

struct Updater::Impl {
  Impl(UpdaterOptions o, FileSystem& f, Clock& c, TimeFloor t)
      : options(std::move(o)),
        fs(f),
        clock(c),
        floor(std::move(t)),
        log(f, options.directory) {}

  UpdaterOptions options;
  FileSystem& fs;
  Clock& clock;
  TimeFloor floor;
  LogKeeper log;

  bool has_root = false;
  // The newest of everything ever verified: what rollback is judged against.
  TrustedSet state;
  // The last complete set: what questions are answered from. It stays when a
  // refresh fails half way.
  TrustedSet view;
  bool ready = false;
  bool fresh = false;
  bool equivocation = false;
  absl::Time start;  // of the last Refresh or UseStored

  std::string Path(std::string_view name) const;
  std::string RolePath(std::string_view role) const;
  absl::Status LoadStore();
  absl::Status LoadAnchoredRoot();
  absl::Status LoadFleetRoot();
  void LoadOldVersions();
  absl::Status AdoptFirstRoot(std::string bytes);
  absl::Status Save(std::string_view name, std::string_view bytes);
  absl::Status SaveLastGood();
  absl::StatusOr<std::string> Fetch(Fetcher& source, std::string_view role,
                                    std::optional<uint64_t> version,
                                    uint64_t max_bytes);
  // The file that `pin` names, under the names of this repository.
  absl::StatusOr<std::string> FetchPinned(Fetcher& source,
                                          std::string_view role,
                                          const MetaFile& pin, uint64_t cap);
  absl::Status RefreshRoot(Fetcher& source);
  absl::Status RefreshTimestamp(Fetcher& source);
  absl::Status RefreshSnapshot(Fetcher& source);
  absl::Status RefreshTargets(Fetcher& source);

  absl::StatusOr<LogVerdict> CompareLog(Fetcher& source,
                                        std::string_view timestamp);
  absl::Status TakeForkProof(std::string_view one, std::string_view other);
  // A timestamp by the keys in force.
  absl::StatusOr<ParsedTimestamp> SignedTimestamp(std::string_view bytes) const;
  void LookForAnotherTruth(Fetcher& source);

  absl::Status RequireReady() const;
  // Verified metadata of a delegated role out of memory, store or source.
  absl::StatusOr<const Targets*> LoadRole(
      Fetcher* source, const DelegatedRole& role,
      const std::map<std::string, Key>& keys);
  // A target and the role whose word it is.
  struct Found {
    TargetFile target;
    std::string role;
  };
  absl::StatusOr<Found> Search(Fetcher* source, std::string_view path);
  absl::StatusOr<FoundRole> FindRole(Fetcher* source, std::string_view name);
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_UPDATER_IMPL_H_
