// What operators tell a rollout to do: approve, halt.
#include <algorithm>

#include "fmt/format.h"
#include "rules/access.h"
#include "server/rollout/rollouts.h"

namespace shoal::server {

absl::StatusOr<rollout::v1::Rollout> Rollouts::Approve(
    const std::string& name, uint32_t phase, const std::string& etag,
    const std::string& principal) {
  SHOAL_ASSIGN_OR_RETURN(std::string key, RolloutKey(name));
  {
    Transaction tx(store_);
    SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::RolloutRow>(kRollouts, key));
    if (!etag.empty() && etag != fmt::format("{}", row.revision())) {
      return MakeError(absl::StatusCode::kAborted, "stale_etag",
                       name + " was changed meanwhile: read it again");
    }
    const auto& document = row.rollout().document();
    if (IsFinal(row.rollout().state())) {
      return FailedPrecondition("not_waiting", name + " is at its end");
    }
    // The phase that an approval opens.
    if (phase != document.open_phase() + 1 ||
        phase >= static_cast<uint32_t>(document.phases_size())) {
      return FailedPrecondition(
          "not_waiting", fmt::format("phase {} is open; only the one after it "
                                     "can be approved",
                                     document.open_phase()));
    }
    if (std::find(row.approved_phases().begin(), row.approved_phases().end(),
                  phase) == row.approved_phases().end()) {
      row.add_approved_phases(phase);
      row.set_revision(row.revision() + 1);
      tx.Put(kRollouts, key, row);
      tx.Audit(principal, "rollout.approve", name, "ok",
               fmt::format("phase {}", phase));
      SHOAL_RETURN_IF_ERROR(tx.Commit());
    }
  }
  return Get(name);
}

absl::StatusOr<rollout::v1::Rollout> Rollouts::Halt(
    const std::string& name, const dht::VerifiedRecord& record,
    const std::string& principal) {
  SHOAL_ASSIGN_OR_RETURN(std::string key, RolloutKey(name));
  records::v1::Halt halt;
  if (record.body.kind() != records::v1::RECORD_KIND_HALT ||
      !halt.ParseFromString(record.body.payload()) ||
      halt.rollout_id() != key) {
    return InvalidArgument("bad_halt", "not a halt of " + name);
  }
  {
    Transaction tx(store_);
    SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::RolloutRow>(kRollouts, key));
    const auto& document = row.rollout().document();
    if (record.body.place() != writer_.places().Halt(document.device_type())) {
      return InvalidArgument("bad_halt",
                             "the halt stands at another device type's place");
    }
    const auto* op = rules::FindOperatorByKey(trust_.View()->policy,
                                              record.writer.public_key);
    if (op == nullptr ||
        !rules::Evaluate(trust_.View()->policy, rules::PrincipalOf(*op),
                         "rollout.halt", nullptr, {})
             .allowed) {
      return PermissionDenied("permission_denied",
                              "the halt's signer may not halt rollouts");
    }
    SHOAL_RETURN_IF_ERROR(OnHalt(tx, record));
    SHOAL_RETURN_IF_ERROR(writer_.PassOn(
        tx, record.bytes, absl::FromUnixSeconds(record.body.expires())));
    tx.Audit(principal, "rollout.halt", name, "ok", halt.reason());
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  return Get(name);
}

}  // namespace shoal::server
