// What a custodian would have to look for in a new version of a role, looked
// for by the tool: nothing that fails here is signed or brought into force.
#ifndef SHOAL_SIGNING_TOOL_CHECKS_H_
#define SHOAL_SIGNING_TOOL_CHECKS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shoal/policy/v1/policy.pb.h"
#include "signing/tool/tree.h"

namespace shoal::signing {

// `file` as the successor of what is in force in `tree`. Reasons:
//   wrong_version      not the next one
//   expired_metadata   expiry in the past, or more than ten years away
//   bad_threshold      a role with fewer usable keys than it needs
//   bad_delegation     another form than docs/metadata.md gives: a role that it
//                      does not name, other paths, hash prefixes or bins,
//                      terminating or not, another order
//   image_changed      a signed image would become another one
//   counter_used       two images of one artifact with one counter
//   hash_mismatch, length_mismatch   a file at hand is not the one named
//   bad_policy, rollback             the access policy
// `notes`: what could not be checked here, one sentence each.
absl::Status CheckContent(const Tree& tree, const std::string& role,
                          const RoleFile& file, absl::Time now,
                          std::vector<std::string>* notes);

// proto3 JSON as devices read it: "bad_policy".
absl::StatusOr<policy::v1::AccessPolicy> ParseAccessPolicy(
    const std::string& json);
// The policy document that `targets` names, from the tree; empty without one.
// "hash_mismatch" when the file is another.
absl::StatusOr<std::string> ReadPolicyOf(const Tree& tree,
                                         const Targets& targets);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_TOOL_CHECKS_H_
