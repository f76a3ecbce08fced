#include <fmt/format.h>

#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/tool/change.h"
#include "signing/tool/checks.h"
#include "signing/tool/commands.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::signing {

absl::Status RunPolicySet(const Options& options, const std::string& file) {
  SHOAL_ASSIGN_OR_RETURN(const std::string json,
                         RealFileSystem().Read(file, kMaxPolicyBytes));
  SHOAL_ASSIGN_OR_RETURN(const policy::v1::AccessPolicy policy,
                         ParseAccessPolicy(json));
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options));
  SHOAL_ASSIGN_OR_RETURN(Targets targets, work->NewestTargets("policy"));
  SHOAL_ASSIGN_OR_RETURN(const std::string old_json,
                         ReadPolicyOf(work->tree(), targets));
  if (!old_json.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const auto old, ParseAccessPolicy(old_json));
    if (policy.version() <= old.version())
      return FailedPrecondition(
          "rollback", fmt::format("the newest policy has version {}, this one "
                                  "{}: raise 'version'",
                                  old.version(), policy.version()));
  }
  TargetFile target;
  target.path = kPolicyPath;
  target.length = json.size();
  target.sha256 = crypto::Sha256Digest(json);
  // A document that nothing signed names is nothing: it may lie there, even
  // after a dry run, for the difference to be read from.
  SHOAL_ASSIGN_OR_RETURN(const std::string name, TargetFilePath(target));
  SHOAL_RETURN_IF_ERROR(RealFileSystem().MakeDirectories(
      JoinPath(work->repository(), "targets/policy")));
  SHOAL_RETURN_IF_ERROR(
      RealFileSystem().WriteAtomic(JoinPath(work->repository(), name), json));
  targets.targets[kPolicyPath] = target;
  Change change(*work);
  SHOAL_RETURN_IF_ERROR(change.Propose("policy", targets));
  return change.Finish();
}

}  // namespace shoal::signing
