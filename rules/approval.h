// Approvals that no management plane can make: signed by operators' own keys,
// carried in the rollout's document, counted by the devices whose access policy
// asks for them (Conditions.approvals).
//
// Signed is SigningInput("shoal.rollout.approval.v2", fleet, SHA-256 of):
//   phase (4 bytes), id, device type, then of the release and of each previous
//   one: sha256, counter (8); only_running_sha256, expires (8),
//   error_threshold_permille (4), unattended (4); the selector: all (4), device
//   types, ids, labels by key, groups; and of each phase: name, threshold (8),
//   labels by key, groups, and its gate: soak_ms (8), settle_ms (8),
//   success_permille (4), min_outcomes (4), manual (4), approvals (4),
//   approvers.
// Texts are preceded by their length (4), lists by their number of entries (4);
// numbers are big endian. What changes while a rollout is at work is not in it.
#ifndef SHOAL_RULES_APPROVAL_H_
#define SHOAL_RULES_APPROVAL_H_

#include <cstdint>
#include <set>
#include <string>

#include "shoal/policy/v1/policy.pb.h"
#include "shoal/rollout/v1/document.pb.h"

namespace shoal::rules {

// The bytes that an operator signs to let `phase`, and all before it, begin.
std::string ApprovalInput(const rollout::v1::RolloutDocument& document,
                          uint32_t phase);

// Names of the operators whom the policy grants rollout.approve and whose
// approval of `phase` or a later one verifies.
std::set<std::string> SignedApprovers(
    const rollout::v1::RolloutDocument& document, uint32_t phase,
    const policy::v1::AccessPolicy& policy);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_APPROVAL_H_
