// Approvals of a rollout's phases. A signed one goes into the document: devices
// whose access policy asks for approvals count those alone (rules/approval.h).
#include <fmt/ranges.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "fmt/format.h"
#include "rules/approval.h"
#include "server/rollout/rollouts.h"

namespace shoal::server {
namespace {

// Checks that the operator signed it, and puts it into the document.
absl::Status Carry(const rollout::v1::ApprovePhaseRequest& request,
                   const policy::v1::AccessPolicy& policy,
                   const std::string& op_name, store::RolloutRow& row,
                   rollout::v1::Approval& approval) {
  auto& document = *row.mutable_rollout()->mutable_document();
  const auto& known = policy.operators();
  const auto op =
      std::find_if(known.begin(), known.end(),
                   [&](const auto& one) { return one.name() == op_name; });
  if (op == known.end())
    return PermissionDenied("permission_denied",
                            "the policy has no operator " + op_name);
  SHOAL_ASSIGN_OR_RETURN(const std::string key, HexDecode(op->public_key()));
  if (!crypto::Ed25519Verify(key,
                             rules::ApprovalInput(document, request.phase()),
                             request.signature()))
    return InvalidArgument("bad_signature",
                           "the approval is not signed by the key that the "
                           "policy names for " +
                               op_name + ", or for another document");
  approval.set_operator_key(key);
  approval.set_signature(request.signature());
  auto* carried = document.add_approvals();
  carried->set_phase(request.phase());
  carried->set_operator_key(key);
  carried->set_signature(request.signature());
  SHOAL_RETURN_IF_ERROR(rules::ValidateRollout(document));
  SHOAL_RETURN_IF_ERROR(
      rules::CheckDocumentSize(document, rules::kRoomForOrders));
  row.set_resign(row.document_signed());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<rollout::v1::Rollout> Rollouts::Approve(
    const rollout::v1::ApprovePhaseRequest& request,
    const std::string& principal) {
  const uint32_t phase = request.phase();
  const bool is_signed = !request.signature().empty();
  const std::string op_name = principal.substr(principal.find(':') + 1);
  return ChangeRow(
      request.name(), request.etag(),
      [&](Transaction& tx, store::RolloutRow& row) -> absl::Status {
        const auto& document = row.rollout().document();
        if (IsFinal(row.rollout().state())) {
          return FailedPrecondition("not_waiting",
                                    request.name() + " is at its end");
        }
        const auto phases = static_cast<uint32_t>(document.phases_size());
        // The phase that an approval opens. A signed one may come early, and
        // for a phase that is open for those whose policy asks for it.
        if (phase >= phases ||
            (!is_signed && phase != document.open_phase() + 1)) {
          return FailedPrecondition(
              "not_waiting",
              fmt::format("phase {} is open; only the one after it can be "
                          "approved",
                          document.open_phase()));
        }
        if (phase > 0) {
          const auto& approvers =
              document.phases(static_cast<int>(phase) - 1).gate().approvers();
          if (!approvers.empty() &&
              std::find(approvers.begin(), approvers.end(), op_name) ==
                  approvers.end()) {
            return PermissionDenied(
                "not_an_approver",
                fmt::format("the rollout names who may approve phase {}: {}",
                            phase, fmt::join(approvers, ", ")));
          }
        }
        for (const auto& known : row.rollout().approvals()) {
          if (known.phase() == phase && known.approver() == principal &&
              known.signature().empty() == !is_signed) {
            return absl::OkStatus();
          }
        }
        rollout::v1::Approval approval;
        approval.set_phase(phase);
        approval.set_approver(principal);
        approval.set_time(absl::ToUnixMillis(store_.clock().WallNow()));
        if (is_signed)
          SHOAL_RETURN_IF_ERROR(
              Carry(request, trust_.View()->policy, op_name, row, approval));
        *row.mutable_rollout()->add_approvals() = approval;
        tx.Audit(principal, "rollout.approve", request.name(), "ok",
                 fmt::format("phase {}{}", phase, is_signed ? ", signed" : ""));
        return absl::OkStatus();
      });
}

}  // namespace shoal::server
