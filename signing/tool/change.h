// A change of one or more offline roles on its way: proposed, checked, shown,
// signed with the keys at hand, and brought into force once it is complete.
#ifndef SHOAL_SIGNING_TOOL_CHANGE_H_
#define SHOAL_SIGNING_TOOL_CHANGE_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "signing/tool/workspace.h"

namespace shoal::signing {

// One thread; one Finish.
class Change {
 public:
  explicit Change(Workspace& work) : work_(work) {}

  // The role's next version, with the workspace's expiry. A draft that was
  // there is replaced: its signatures were for something else.
  absl::Status Propose(const Root& root);
  absl::Status Propose(const std::string& role, const Targets& targets);

  // Roles whose keys this changes are proposed too, with the content they
  // have. Then all is checked (checks.h), shown, signed, written (not with
  // --dry-run), and what is complete comes into force.
  absl::Status Finish();

 private:
  absl::Status ProposeDependents();
  Workspace& work_;
  RoleFiles proposed_;
};

// Adds the signatures of the keys at hand to `file`, a new version of `role`
// beside the drafts in `files`.
absl::Status SignDraft(Workspace& work, const RoleFiles& files,
                       const std::string& role, RoleFile& file);

// Prints what changes in `file`, after checking it: CheckContent's errors,
// with the role's name.
absl::Status Review(const Tree& tree, const std::string& role,
                    const RoleFile& file);

// Brings into force what is complete and prints that, what still waits, for
// whom, and what to do next.
absl::Status PromoteAndReport(Tree& tree);
// The second half alone.
absl::Status ReportDrafts(const Tree& tree);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_CHANGE_H_
