#include "server/rollout/explain.h"

#include <algorithm>
#include <optional>

#include "common/bytes.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "rules/access.h"
#include "rules/approval.h"
#include "rules/conditions.h"
#include "rules/outcomes.h"
#include "rules/way_back.h"
#include "server/rollout/driver_steps.h"
#include "server/rollout/explain_fit.h"
#include "server/rollout/rollout_state.h"

namespace shoal::server {
namespace {

using rollout::v1::CONDITION_STATE_MET;
using rollout::v1::CONDITION_STATE_UNKNOWN;
using rollout::v1::CONDITION_STATE_UNMET;
using rollout::v1::Explanation;

constexpr absl::Duration kSilent = absl::Hours(24);

void Add(Explanation& out, std::string name, bool met, std::string reason,
         std::string text) {
  auto* condition = out.add_conditions();
  condition->set_name(std::move(name));
  condition->set_state(met ? CONDITION_STATE_MET : CONDITION_STATE_UNMET);
  condition->set_reason(std::move(reason));
  condition->set_explanation(std::move(text));
}

void Add(Explanation& out, const std::vector<rules::Condition>& conditions) {
  for (const rules::Condition& one : conditions) {
    auto* condition = out.add_conditions();
    condition->set_name(one.name);
    condition->set_state(one.state == rules::Condition::State::kMet
                             ? CONDITION_STATE_MET
                         : one.state == rules::Condition::State::kUnmet
                             ? CONDITION_STATE_UNMET
                             : CONDITION_STATE_UNKNOWN);
    condition->set_reason(one.reason);
    condition->set_explanation(one.text);
  }
}

std::string At(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

// The first that is not met, in words.
std::string FirstUnmet(const Explanation& out) {
  for (const auto& condition : out.conditions())
    if (condition.state() == CONDITION_STATE_UNMET)
      return fmt::format("{}: {}", condition.reason(), condition.explanation());
  return "";
}

bool Halted(const store::RolloutRow& row) {
  const auto& lifted = row.rollout().document().lifted_halts();
  const std::set<std::string> halts = HaltDigests(row);
  return std::any_of(halts.begin(), halts.end(), [&](const std::string& halt) {
    return std::find(lifted.begin(), lifted.end(), halt) == lifted.end();
  });
}

// `count` without the `accepted` failures.
void AddFailures(const rollout::v1::RolloutDocument& document,
                 const rules::OutcomeCount& count, uint32_t accepted,
                 Explanation& out) {
  const int open = static_cast<int>(document.open_phase());
  const uint32_t halting = rules::FailuresThatHalt(document, open, count);
  Add(out, "failures", !rules::TooManyFailures(document, open, count),
      "error_threshold",
      fmt::format(
          "{} of {} outcomes of phase {} failed{}; the threshold is {:.1f} %, "
          "{}",
          count.failed, count.total(), document.phases(open).name(),
          accepted > 0 ? fmt::format(" beside {} accepted ones", accepted) : "",
          document.error_threshold_permille() / 10.0,
          halting == 0
              ? "which none reach beside a success"
              : fmt::format(
                    "the rollout halts at {} failed beside {} succeeded",
                    halting, count.succeeded)));
}

void AddGate(const store::RolloutRow& row, const rules::OutcomeCount& count,
             const policy::v1::AccessPolicy& policy, absl::Time now,
             Explanation& out) {
  const auto& document = row.rollout().document();
  const int open = static_cast<int>(document.open_phase());
  const auto& gate = document.phases(open).gate();
  const absl::Time due =
      absl::FromUnixMillis(document.opened_at() + gate.soak_ms());
  Add(out, "soak", now >= due, "soaking",
      fmt::format("phase {} opened at {}, its time is over at {}",
                  document.phases(open).name(),
                  At(absl::FromUnixMillis(document.opened_at())), At(due)));
  const uint32_t wanted = rules::OutcomesWanted(document, open, count);
  Add(out, "outcomes", count.total() >= wanted, "too_few_outcomes",
      fmt::format("{} of at least {} outcomes ({} devices)", count.total(),
                  wanted, document.phases(open).expected_devices()));
  if (gate.success_permille() > 0)
    Add(out, "success",
        uint64_t{count.succeeded} * 1000 >=
            uint64_t{gate.success_permille()} * count.judged(),
        "success_ratio",
        fmt::format("{} of {} succeeded, {:.1f} % are asked for",
                    count.succeeded, count.judged(),
                    gate.success_permille() / 10.0));
  if (gate.settle_ms() > 0) {
    const absl::Time since = absl::FromUnixMillis(row.enough_since());
    const absl::Time settled = since + absl::Milliseconds(gate.settle_ms());
    Add(out, "settle", row.enough_since() > 0 && now >= settled, "settling",
        row.enough_since() == 0 ? "the outcomes are not enough yet"
                                : fmt::format("enough since {}, settled at {}",
                                              At(since), At(settled)));
  }
  if (gate.manual()) {
    const std::set<std::string> names =
        ApproversOf(row, document.open_phase() + 1, policy);
    Add(out, "approval", rules::Approved(gate, names), "needs_approval",
        fmt::format(
            "{} of {} approvals{}{}", names.size(),
            std::max<uint32_t>(1, gate.approvals()),
            names.empty() ? "" : fmt::format(" ({})", fmt::join(names, ", ")),
            gate.approvers().empty()
                ? ""
                : fmt::format(", by {}", fmt::join(gate.approvers(), ", "))));
  }
}

void AddOutcome(const store::OutcomeRow& row, Explanation& out) {
  const auto& outcome = row.outcome();
  Add(out, "outcome", outcome.success(),
      outcome.reason().empty() ? "failed" : outcome.reason(),
      fmt::format("the device {} at {}: {} {}{}{}{}",
                  outcome.tries_left() > 0 ? "tried" : "answered",
                  At(absl::FromUnixMillis(outcome.received_at())),
                  outcome.success()   ? "success"
                  : outcome.refused() ? "refused"
                                      : "failed",
                  outcome.reason(), outcome.message().empty() ? "" : ": ",
                  outcome.message(),
                  outcome.tries_left() > 0
                      ? fmt::format("; it tries again by itself, {} times at "
                                    "most",
                                    outcome.tries_left())
                      : ""));
}

}  // namespace

absl::StatusOr<Explanation> Explainer::Rollout(const std::string& name) const {
  SHOAL_ASSIGN_OR_RETURN(const auto row, rollouts_.Row(name));
  const auto& rollout = row.rollout();
  const auto& document = rollout.document();
  const absl::Time now = store_.clock().WallNow();
  Explanation out;
  out.set_rollout(name);
  const std::string state = rollout::v1::RolloutState_Name(rollout.state());
  Add(out, "state", rollout.state() == rollout::v1::ROLLOUT_STATE_ACTIVE,
      "rollout_not_active",
      rollout.message().empty() ? state : state + ": " + rollout.message());
  Add(out, "signed", row.document_signed() && !row.resign(), "not_signed",
      fmt::format("version {} of the document", document.version()));
  Add(out, "published", rollout.published_at() > 0, "not_published",
      "enough storage nodes hold records and bytes");
  Add(out, "halt", !Halted(row), "halted",
      Halted(row) ? "a halt stands" : "no halt stands");
  Add(out, "expiry", absl::ToUnixSeconds(now) < document.expires(),
      "rollout_expired",
      "nothing starts from " + At(absl::FromUnixSeconds(document.expires())));
  SHOAL_ASSIGN_OR_RETURN(const auto counts, rollouts_.Counts(row));
  const size_t open = document.open_phase();
  const uint32_t accepted =
      static_cast<int>(open) < row.accepted_failures_size()
          ? row.accepted_failures(static_cast<int>(open))
          : 0;
  const auto count = rules::WithoutAccepted(counts[open], accepted);
  AddFailures(document, count, accepted, out);
  const bool last = open + 1 == static_cast<size_t>(document.phases_size());
  if (!last) AddGate(row, count, trust_.View()->policy, now, out);
  SHOAL_ASSIGN_OR_RETURN(const auto answered,
                         rollouts_.Answered(row, Rollouts::Spoke::kForGood));
  SHOAL_ASSIGN_OR_RETURN(const auto devices,
                         devices_.Accepted(document.device_type()));
  uint32_t missing = 0;
  for (const store::DeviceRow& device : devices) {
    const rules::DeviceFacts facts = FactsOf(device);
    const int phase = rules::PhaseOf(document, facts);
    if (phase < 0 || phase > static_cast<int>(open) ||
        answered.contains(HexEncode(facts.id)) || !Concerns(document, device))
      continue;
    ++missing;
    const bool silent =
        now - absl::FromUnixMillis(device.device().last_seen_at()) > kSilent;
    const std::string& word = device.device().waiting_reason();
    ++(*out.mutable_waiting())[silent         ? "not_heard_of"
                               : word.empty() ? "at_it"
                                              : word];
  }
  Add(out, "answers", missing == 0, "devices_at_work",
      fmt::format("{} devices of open phases have not answered", missing));
  const std::string unmet = FirstUnmet(out);
  out.set_summary(IsFinal(rollout.state())
                      ? "the rollout is at its end: " + state
                  : unmet.empty() ? "nothing is waited for"
                                  : "waits: " + unmet);
  return out;
}

absl::StatusOr<std::optional<store::RolloutRow>> Explainer::RolloutOf(
    const store::DeviceRow& device, const std::string& rollout) const {
  if (!rollout.empty()) {
    SHOAL_ASSIGN_OR_RETURN(auto row, rollouts_.Row(rollout));
    return row;
  }
  SHOAL_ASSIGN_OR_RETURN(auto rows,
                         rollouts_.OfType(device.device().device_type()));
  // As the device looks for it (agent/link/decide.cc): what ended says nothing
  // to whom it did not reach, but nobody leaves what it took for an older one.
  const rules::DeviceFacts facts = FactsOf(device);
  SHOAL_ASSIGN_OR_RETURN(const std::string running_sha256,
                         HexDecode(device.device().running_sha256()));
  bool runs_ended = false;
  for (store::RolloutRow& row : rows) {
    const auto& document = row.rollout().document();
    const auto outcome = store_.Get<store::OutcomeRow>(
        kOutcomes, fmt::format("{}/{}", document.id(), HexEncode(facts.id)));
    if (!outcome.ok() && !absl::IsNotFound(outcome.status()))
      return outcome.status();
    if (outcome.ok() && outcome->outcome().success()) return std::move(row);
    // One that answered began it, whatever its groups say since.
    const bool began = outcome.ok() && !outcome->outcome().refused();
    if (!began && rules::PhaseOf(document, facts) < 0) continue;
    if (!document.only_running_sha256().empty() &&
        document.only_running_sha256() != running_sha256)
      continue;
    if (HasEnded(row.rollout().state()) ||
        absl::ToUnixSeconds(store_.clock().WallNow()) >= document.expires()) {
      runs_ended |= rules::LeadsTo(document, running_sha256);
      continue;
    }
    if (runs_ended && !rules::LeadsTo(document, running_sha256)) continue;
    return std::move(row);
  }
  return std::nullopt;
}

absl::StatusOr<Explanation> Explainer::Device(
    const std::string& device, const std::string& rollout) const {
  SHOAL_ASSIGN_OR_RETURN(const std::string key, DeviceKey(device));
  SHOAL_ASSIGN_OR_RETURN(const auto row,
                         store_.Get<store::DeviceRow>(kDevices, key));
  const absl::Time now = store_.clock().WallNow();
  Explanation out;
  out.set_device(device);
  Add(out, "enrolment",
      row.device().state() == fleet::v1::ENROLMENT_STATE_ACCEPTED,
      "not_accepted", fleet::v1::EnrolmentState_Name(row.device().state()));
  const absl::Time seen = absl::FromUnixMillis(row.device().last_seen_at());
  Add(out, "heard_of", now - seen <= kSilent, "not_heard_of",
      row.device().last_seen_at() == 0 ? "it never reported"
                                       : "its last report came at " + At(seen));
  SHOAL_ASSIGN_OR_RETURN(const auto found, RolloutOf(row, rollout));
  if (!found) {
    SHOAL_RETURN_IF_ERROR(ExplainLeft(rollouts_, row, out));
    Add(out, "rollout", false, "no_rollout",
        "no rollout that is not at its end selects the device");
    out.set_summary("nothing to do: no rollout selects the device");
    return out;
  }
  const auto& document = found->rollout().document();
  out.set_rollout(found->rollout().name());
  Add(out, "rollout", found->document_signed(), "not_signed",
      fmt::format("{}, release {}, {}", found->rollout().name(),
                  document.release().version(),
                  rollout::v1::RolloutState_Name(found->rollout().state())));
  const auto outcome = store_.Get<store::OutcomeRow>(
      kOutcomes, fmt::format("{}/{}", document.id(), key));
  const bool runs =
      HexEncode(document.release().sha256()) == row.device().running_sha256();
  if (outcome.ok()) AddOutcome(*outcome, out);
  if (runs) {
    out.set_summary("nothing to do: the device runs " +
                    document.release().version());
    return out;
  }
  rules::StartInput input;
  input.device = FactsOf(row);
  input.fleet_id = fleet_id_;
  input.now = now;
  input.halted = Halted(*found);
  if (outcome.ok() && !outcome->outcome().refused())
    input.began_in = static_cast<int>(outcome->outcome().phase());
  SHOAL_ASSIGN_OR_RETURN(input.running_sha256,
                         HexDecode(row.device().running_sha256()));
  Add(out, rules::StartConditions(document, input, rules::Viewpoint::kPlane));
  const auto view = trust_.View();
  const rules::DeviceFacts facts = rules::FactsFromPolicy(
      view->policy, input.device.id, input.device.device_type);
  rules::Principal director;
  director.director = true;
  const rules::Decision decision =
      rules::Evaluate(view->policy, director, "update.install", &facts, {});
  Add(out, "policy", decision.allowed, "policy_denied",
      decision.needs_consent ? decision.explanation + "; with consent"
                             : decision.explanation);
  if (decision.approvals > 0) {
    const int phase =
        std::max(0, rules::PhaseFor(document, input.device, input.began_in));
    const auto approved = rules::SignedApprovers(
        document, static_cast<uint32_t>(phase), view->policy);
    Add(out, "approvals", approved.size() >= decision.approvals,
        "approvals_missing",
        fmt::format("{} of {} signed approvals of phase {}{}", approved.size(),
                    decision.approvals, document.phases(phase).name(),
                    approved.empty()
                        ? ""
                        : fmt::format(" ({})", fmt::join(approved, ", "))));
  }
  SHOAL_RETURN_IF_ERROR(ExplainFit(store_, row, document, out));
  const std::string& word = row.device().waiting_reason();
  Add(out, "own_word", word.empty(), word,
      word.empty() ? "the device says that it waits for nothing"
                   : "the device says that it waits: " + word);
  const std::string unmet = FirstUnmet(out);
  out.set_summary(unmet.empty()
                      ? "nothing known stands against it: the device is at it, "
                        "or its own clock, link or owner decides"
                      : "waits: " + unmet);
  return out;
}

}  // namespace shoal::server
