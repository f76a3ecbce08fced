// What operators tell a rollout to do: activate, pause, resume, halt. The rest:
// rollout_approve.cc, rollout_abort.cc.
#include <algorithm>

#include "fmt/format.h"
#include "rules/access.h"
#include "rules/outcomes.h"
#include "server/rollout/driver_steps.h"
#include "server/rollout/outcome_counts.h"
#include "server/rollout/rollouts.h"

namespace shoal::server {

namespace {

constexpr size_t kMaxReason = 512;

absl::Status CheckReason(const std::string& reason) {
  if (reason.size() <= kMaxReason) return absl::OkStatus();
  return InvalidArgument("bad_reason", "a reason has at most 512 bytes");
}

std::string Because(const std::string& reason) {
  return reason.empty() ? "" : ": " + reason;
}

// "operator:ann" → "ann".
std::string OperatorName(const std::string& principal) {
  return principal.substr(principal.find(':') + 1);
}

}  // namespace

absl::StatusOr<rollout::v1::Rollout> Rollouts::ChangeRow(
    const std::string& name, const std::string& etag,
    const std::function<absl::Status(Transaction&, store::RolloutRow&)>&
        change) {
  SHOAL_ASSIGN_OR_RETURN(std::string key, RolloutKey(name));
  {
    Transaction tx(store_);
    SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::RolloutRow>(kRollouts, key));
    if (!etag.empty() && etag != fmt::format("{}", row.revision())) {
      return MakeError(absl::StatusCode::kAborted, "stale_etag",
                       name + " was changed meanwhile: read it again");
    }
    const std::string before = row.SerializeAsString();
    const size_t size = row.rollout().document().ByteSizeLong();
    SHOAL_RETURN_IF_ERROR(change(tx, row));
    if (row.SerializeAsString() != before) {
      const auto& document = row.rollout().document();
      if (document.ByteSizeLong() > size)
        SHOAL_RETURN_IF_ERROR(rules::CheckDocumentSize(document, 0));
      row.set_revision(row.revision() + 1);
      tx.Put(kRollouts, key, row);
      SHOAL_RETURN_IF_ERROR(tx.Commit());
    }
  }
  return Get(name);
}

absl::StatusOr<rollout::v1::Rollout> Rollouts::Activate(
    const rollout::v1::ActivateRolloutRequest& request,
    const std::string& principal) {
  return ChangeRow(
      request.name(), request.etag(),
      [&](Transaction& tx, store::RolloutRow& row) -> absl::Status {
        auto* document = row.mutable_rollout()->mutable_document();
        if (IsFinal(row.rollout().state())) {
          return FailedPrecondition("at_its_end",
                                    request.name() + " is at its end");
        }
        if (!document->activation().hold()) {
          return FailedPrecondition(
              "not_held", request.name() + " does not hold its activation");
        }
        if (document->activation().released()) return absl::OkStatus();
        document->mutable_activation()->set_released(true);
        row.set_resign(row.document_signed());
        tx.Audit(principal, "rollout.activate", request.name(), "ok");
        return absl::OkStatus();
      });
}

absl::StatusOr<rollout::v1::Rollout> Rollouts::Pause(
    const rollout::v1::PauseRolloutRequest& request,
    const std::string& principal) {
  SHOAL_RETURN_IF_ERROR(CheckReason(request.reason()));
  return ChangeRow(
      request.name(), request.etag(),
      [&](Transaction& tx, store::RolloutRow& row) -> absl::Status {
        auto* rollout = row.mutable_rollout();
        if (rollout->state() == rollout::v1::ROLLOUT_STATE_PAUSED) {
          return absl::OkStatus();
        }
        if (IsFinal(rollout->state()) || !row.document_signed()) {
          return FailedPrecondition("not_active",
                                    request.name() +
                                        " is not at work; it can be "
                                        "aborted");
        }
        rollout->set_state(rollout::v1::ROLLOUT_STATE_PAUSED);
        rollout->mutable_document()->set_state(
            rollout::v1::ROLLOUT_STATE_PAUSED);
        rollout->set_message(fmt::format("paused by {}{}",
                                         OperatorName(principal),
                                         Because(request.reason())));
        row.set_resign(true);
        tx.Audit(principal, "rollout.pause", request.name(), "ok",
                 request.reason());
        return absl::OkStatus();
      });
}

absl::StatusOr<rollout::v1::Rollout> Rollouts::Resume(
    const rollout::v1::ResumeRolloutRequest& request,
    const std::string& principal, bool may_lift_halts) {
  return ChangeRow(
      request.name(), request.etag(),
      [&](Transaction& tx, store::RolloutRow& row) -> absl::Status {
        auto* rollout = row.mutable_rollout();
        if (rollout->state() != rollout::v1::ROLLOUT_STATE_PAUSED &&
            rollout->state() != rollout::v1::ROLLOUT_STATE_HALTED) {
          return FailedPrecondition(
              "not_stopped", request.name() + " is neither paused nor halted");
        }
        if (rollout->state() == rollout::v1::ROLLOUT_STATE_HALTED &&
            !may_lift_halts) {
          return PermissionDenied(
              "permission_denied",
              "lifting a halt takes the right to halt (rollout.halt)");
        }
        // Without those that are lost, who are looked for one by one.
        SHOAL_ASSIGN_OR_RETURN(const auto counted,
                               ReadOutcomeCounts(tx, rollout->document()));
        const auto counts = CountsByPhase(counted);
        for (int i = 0; i < rollout->document().phases_size(); ++i) {
          const auto& count = counts[static_cast<size_t>(i)];
          const uint32_t accepted =
              i < row.accepted_failures_size() ? row.accepted_failures(i) : 0;
          if (!rules::TooManyFailures(rollout->document(), i,
                                      rules::WithoutAccepted(count, accepted)))
            continue;
          if (!request.accept_failures()) {
            return FailedPrecondition(
                "error_threshold",
                fmt::format("phase {} has {} failures of {}: resume with "
                            "accept_failures, or abort",
                            rollout->document().phases(i).name(), count.failed,
                            count.total()));
          }
        }
        auto* document = rollout->mutable_document();
        if (request.accept_failures()) {
          row.clear_accepted_failures();
          document->clear_accepted_failures();
          for (size_t i = 0; i < counts.size(); ++i) {
            row.add_accepted_failures(counts[i].failed);
            if (counts[i].failed == 0) continue;
            // Devices without a plane judge by the document.
            auto* accepted = document->add_accepted_failures();
            accepted->set_phase(static_cast<uint32_t>(i));
            accepted->set_count(counts[i].failed);
            accepted->set_until(absl::ToUnixMillis(store_.clock().WallNow()));
          }
        }
        for (const std::string& digest : HaltDigests(row)) {
          const auto& lifted = document->lifted_halts();
          if (std::find(lifted.begin(), lifted.end(), digest) == lifted.end())
            document->add_lifted_halts(digest);
        }
        SHOAL_RETURN_IF_ERROR(rules::ValidateRollout(*document));
        SHOAL_RETURN_IF_ERROR(
            rules::CheckDocumentSize(*document, rules::kRoomForOrders));
        document->set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
        rollout->set_state(rollout->published_at() > 0
                               ? rollout::v1::ROLLOUT_STATE_ACTIVE
                               : rollout::v1::ROLLOUT_STATE_PREPARING);
        rollout->set_message("resumed by " + OperatorName(principal));
        rollout->set_finished_at(0);
        row.set_resign(row.document_signed());
        tx.Audit(principal, "rollout.resume", request.name(), "ok",
                 request.accept_failures() ? "failures accepted" : "");
        return absl::OkStatus();
      });
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
