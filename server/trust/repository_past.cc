// Is what the network holds this store's past?
#include <fmt/format.h>

#include <algorithm>

#include "common/status.h"
#include "server/trust/repository.h"
#include "signing/verify/algorithms.h"

namespace shoal::server {
namespace {

absl::Status Behind(const signing::Timestamp& theirs, const std::string& what) {
  return FailedPrecondition(
      "behind_network",
      fmt::format(
          "the storage nodes hold timestamp {}, signed by this fleet's key, "
          "with {}: this store is an older backup or a copy, or somebody else "
          "signs with its keys. Nothing was published. "
          "docs/operations/log-fork.md",
          theirs.version, what));
}

}  // namespace

absl::StatusOr<bool> TrustRepository::CheckPast(
    const std::vector<std::string>& timestamps) {
  std::lock_guard lock(change_mutex_);
  const auto view = View();
  if (!view) return false;
  SHOAL_ASSIGN_OR_RETURN(const auto root,
                         signing::ParseRoot(view->roots.back()));
  const uint64_t own = view->versions.at("timestamp");
  uint64_t newest = own;
  for (const std::string& bytes : timestamps) {
    const auto other = signing::ParseTimestamp(bytes);
    // Anybody may have put anything there; only the key's word counts.
    if (!other.ok() || !signing::VerifySignatures(
                            other->envelope, root.value.keys,
                            root.value.roles.at("timestamp"), "timestamp")
                            .ok())
      continue;
    const signing::Timestamp& theirs = other->value;
    newest = std::max(newest, theirs.version);
    if (!theirs.log) {
      // From before there was a log here, or of a plane that has none.
      if (theirs.version > own && view->log.size > 0)
        return Behind(theirs, "no release log");
      continue;
    }
    if (theirs.log->size > view->log.size)
      return Behind(theirs,
                    fmt::format("{} entries of the release log, of which {} "
                                "are known here",
                                theirs.log->size, view->log.size));
    SHOAL_ASSIGN_OR_RETURN(const std::string ours,
                           log_.RootAt(theirs.log->size));
    if (ours != theirs.log->root)
      return Behind(theirs, fmt::format("another release log than this "
                                        "store's in its first {} entries",
                                        theirs.log->size));
  }
  if (newest == own) return false;
  least_timestamp_ = newest;
  return true;
}

}  // namespace shoal::server
