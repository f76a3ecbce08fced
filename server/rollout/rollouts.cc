#include "server/rollout/rollouts.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "fmt/format.h"
#include "rules/access.h"
#include "rules/selector.h"
#include "server/fleet/nodes.h"
#include "server/rollout/delta_demand.h"
#include "server/rollout/outcome_counts.h"
#include "server/rollout/phase_times.h"
#include "server/rollout/plan.h"
#include "server/rollout/rollout_state.h"
#include "server/rollout/take_over.h"
#include "server/store/paging.h"
#include "server/store/requests.h"

namespace shoal::server {

using rollout::v1::RolloutState;

namespace {

// In the answer to a call about one rollout.
constexpr int kShownOutcomes = 100;

int64_t Millis(absl::Time time) {
  return time == PhaseTimes::kNever ? 0 : absl::ToUnixMillis(time);
}

// When phases open and have answered, in `view`, whose numbers are there.
void AddTimes(const store::RolloutRow& row,
              const store::OutcomeCountsRow& counts,
              const std::vector<rules::OutcomeCount>& by_phase,
              const policy::v1::AccessPolicy& policy, absl::Time now,
              rollout::v1::Rollout& view) {
  std::vector<absl::Time> last_answers;
  for (const auto& phase : counts.phases())
    last_answers.push_back(
        phase.last_received_at() == 0
            ? absl::InfinitePast()
            : absl::FromUnixMillis(phase.last_received_at()));
  const auto times = TimesOf(row, by_phase, last_answers, policy, now);
  for (int i = 0; i < view.phases_size(); ++i) {
    const PhaseTimes& one = times[static_cast<size_t>(i)];
    view.mutable_phases(i)->set_opens_at(Millis(one.opens));
    view.mutable_phases(i)->set_answered_at(Millis(one.answered));
    view.mutable_phases(i)->set_waits_for(one.waits_for);
  }
  const int open = static_cast<int>(view.document().open_phase());
  if (open >= view.phases_size()) return;
  const auto& phase = view.phases(open);
  const bool over =
      phase.succeeded() + phase.failed() + phase.refused() >= phase.expected();
  if (phase.open() && !over && !IsFinal(view.state()))
    view.set_phase_eta(phase.answered_at());
}

// `only`: the image that a rollout leads back from; empty: it leads nobody
// back.
bool RunsWhatIsLedBack(std::string_view only, const store::DeviceRow& device) {
  return only.empty() || device.device().running_sha256() == HexEncode(only);
}

}  // namespace

int Rank(const store::RolloutRow& row) {
  const auto priority = row.rollout().document().priority();
  return priority == rollout::v1::ROLLOUT_PRIORITY_UNSPECIFIED
             ? rollout::v1::ROLLOUT_PRIORITY_NORMAL
             : priority;
}

bool Concerns(const rollout::v1::RolloutDocument& document,
              const store::DeviceRow& device) {
  return RunsWhatIsLedBack(document.only_running_sha256(), device) &&
         rules::PhaseOf(document, FactsOf(device)) >= 0;
}

absl::StatusOr<std::string> RolloutKey(const std::string& name) {
  constexpr std::string_view kPrefix = "rollouts/";
  std::string key =
      name.rfind(kPrefix, 0) == 0 ? name.substr(kPrefix.size()) : "";
  if (!IsIdentifier(key)) {
    return InvalidArgument("bad_name",
                           "a rollout's name is rollouts/ and an identifier");
  }
  return key;
}

bool IsFinal(RolloutState state) {
  return state == rollout::v1::ROLLOUT_STATE_HALTED || HasEnded(state);
}

Rollouts::Rollouts(Store& store, const RecordWriter& writer,
                   TrustRepository& trust, Releases& releases, Deltas& deltas,
                   Devices& devices)
    : store_(store),
      writer_(writer),
      trust_(trust),
      releases_(releases),
      deltas_(deltas),
      devices_(devices),
      lost_(store, devices) {
  store_.BeforeCommit(kRollouts, [this](Transaction&, const std::string&) {
    std::lock_guard lock(at_work_mutex_);
    at_work_ = nullptr;
    return absl::OkStatus();
  });
}

absl::StatusOr<Rollouts::Draft> Rollouts::MakeDraft(
    rollout::v1::CreateRolloutRequest request) const {
  if (request.rollout_id().empty()) {
    request.set_rollout_id("r-" + HexEncode(crypto::RandomBytes(6)));
  }
  Draft draft;
  SHOAL_ASSIGN_OR_RETURN(draft.release, releases_.Row(request.release()));
  if (request.device_type().empty()) {
    request.set_device_type(draft.release.release().device_type());
  }
  SHOAL_RETURN_IF_ERROR(CheckApprovers(request));
  SHOAL_RETURN_IF_ERROR(CheckGroups(request));
  for (auto& previous : *request.mutable_previous()) {
    SHOAL_ASSIGN_OR_RETURN(
        const auto row,
        releases_.Row(fmt::format("releases/{}/{}", request.device_type(),
                                  previous.version())));
    SHOAL_ASSIGN_OR_RETURN(previous, ReferenceTo(row));
  }
  SHOAL_ASSIGN_OR_RETURN(draft.devices,
                         devices_.Accepted(request.device_type()));
  std::erase_if(draft.devices, [&](const store::DeviceRow& row) {
    return !RunsWhatIsLedBack(request.only_running_sha256(), row);
  });
  std::vector<rules::DeviceFacts> facts;
  for (const store::DeviceRow& row : draft.devices) {
    facts.push_back(FactsOf(row));
  }
  SHOAL_ASSIGN_OR_RETURN(draft.document,
                         PlanRollout(request, draft.release, writer_.fleet_id(),
                                     facts, store_.clock().WallNow()));
  draft.device_seconds = DeviceSeconds(request.device_seconds());
  draft.delta_wait_seconds = request.delta_wait_seconds();
  return draft;
}

absl::Status Rollouts::CheckApprovers(
    const rollout::v1::CreateRolloutRequest& request) const {
  const auto view = trust_.View();
  for (const auto& phase : request.phases()) {
    for (const std::string& name : phase.gate().approvers()) {
      const auto& known = view->policy.operators();
      const auto op =
          std::find_if(known.begin(), known.end(),
                       [&](const auto& one) { return one.name() == name; });
      if (op == known.end() ||
          !rules::Evaluate(view->policy, rules::PrincipalOf(*op),
                           "rollout.approve", nullptr, {})
               .allowed) {
        return InvalidArgument(
            "unknown_approver",
            fmt::format("the policy has no operator '{}' who may approve "
                        "rollouts",
                        name));
      }
    }
  }
  return absl::OkStatus();
}

template <typename Selection>
absl::Status Rollouts::CheckGroups(const Selection& selection) const {
  const auto check = [this](const auto& groups) -> absl::Status {
    for (const std::string& group : groups) {
      const auto row = store_.Get<store::GroupRow>(kGroups, group);
      if (!row.ok() && !absl::IsNotFound(row.status())) return row.status();
      if (!row.ok() || row->group().deleting())
        return InvalidArgument(
            "unknown_group",
            fmt::format("there is no group '{:.64}': a rollout to it would "
                        "reach nobody",
                        group));
    }
    return absl::OkStatus();
  };
  SHOAL_RETURN_IF_ERROR(rules::ValidateSelector(selection.selector()));
  SHOAL_RETURN_IF_ERROR(check(selection.selector().groups()));
  for (const auto& phase : selection.phases())
    SHOAL_RETURN_IF_ERROR(check(phase.groups()));
  return absl::OkStatus();
}

absl::StatusOr<store::RolloutRow> Rollouts::Insert(
    Transaction& tx, const Draft& draft, const std::string& principal) {
  store::RolloutRow row;
  row.set_created_by(principal);
  row.set_revision(1);
  row.set_device_seconds(draft.device_seconds);
  row.set_delta_wait_seconds(draft.delta_wait_seconds);
  rollout::v1::Rollout& rollout = *row.mutable_rollout();
  rollout.set_name("rollouts/" + draft.document.id());
  rollout.set_state(rollout::v1::ROLLOUT_STATE_PREPARING);
  rollout.set_message("making deltas");
  rollout.set_created_at(absl::ToUnixMillis(store_.clock().WallNow()));
  *rollout.mutable_document() = draft.document;
  if (tx.Has(kRollouts, draft.document.id())) {
    return MakeError(absl::StatusCode::kAlreadyExists, "already_exists",
                     rollout.name() + " exists");
  }
  // A release or a group may have gone since the draft was made.
  std::vector<const rollout::v1::ReleaseRef*> named = {
      &draft.document.release()};
  for (const auto& previous : draft.document.previous())
    named.push_back(&previous);
  for (const rollout::v1::ReleaseRef* ref : named) {
    SHOAL_ASSIGN_OR_RETURN(
        const auto release,
        tx.Get<store::ReleaseRow>(
            kReleases, draft.document.device_type() + "/" + ref->version()));
    if (release.release().sha256() != HexEncode(ref->sha256()))
      return MakeError(absl::StatusCode::kAborted, "changed_meanwhile",
                       release.release().name() + " changed: try again");
  }
  SHOAL_RETURN_IF_ERROR(CheckGroups(draft.document));
  SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
  plane.set_rollout_order(plane.rollout_order() + 1);
  rollout.mutable_document()->set_order(plane.rollout_order());
  tx.Put(kMeta, "identity", plane);
  tx.Put(kRollouts, draft.document.id(), row);
  tx.Audit(principal, "rollout.create", rollout.name(), "ok",
           draft.document.release().version());
  return row;
}

absl::StatusOr<rollout::v1::Rollout> Rollouts::Create(
    const rollout::v1::CreateRolloutRequest& request,
    const std::string& principal) {
  // A repeated call is answered whatever has become of groups, approvers and
  // releases that the first one named.
  const auto find_first =
      [&](const Transaction& tx) -> absl::StatusOr<std::string> {
    rollout::v1::Rollout first;
    SHOAL_ASSIGN_OR_RETURN(const bool again,
                           FindRequest(tx, "CreateRollout", principal,
                                       request.request_id(), request, first));
    return again ? first.name() : "";
  };
  std::string first;
  {
    const Transaction tx(store_);
    SHOAL_ASSIGN_OR_RETURN(first, find_first(tx));
  }
  if (!first.empty()) return Get(first);
  SHOAL_ASSIGN_OR_RETURN(const Draft draft, MakeDraft(request));
  SHOAL_ASSIGN_OR_RETURN(const auto warnings, TakeOverWarnings(draft, *this));
  const auto warn = [&warnings](absl::StatusOr<rollout::v1::Rollout> answer) {
    if (answer.ok())
      answer->mutable_warnings()->Add(warnings.begin(), warnings.end());
    return answer;
  };
  std::string name;
  {
    Transaction tx(store_);
    // One that came at the same time may have been first.
    SHOAL_ASSIGN_OR_RETURN(first, find_first(tx));
    if (first.empty()) {
      SHOAL_ASSIGN_OR_RETURN(const auto row, Insert(tx, draft, principal));
      if (request.validate_only()) return warn(View(row));
      RememberRequest(tx, "CreateRollout", principal, request.request_id(),
                      request, row.rollout());
      SHOAL_RETURN_IF_ERROR(tx.Commit());
      name = row.rollout().name();
    }
  }
  if (!first.empty()) return Get(first);
  return warn(Get(name));
}

absl::StatusOr<rollout::v1::Rollout> Rollouts::View(
    const store::RolloutRow& row) const {
  rollout::v1::Rollout rollout = row.rollout();
  const auto& document = rollout.document();
  rollout.set_etag(fmt::format("{}", row.revision()));
  SHOAL_ASSIGN_OR_RETURN(const store::OutcomeCountsRow counts,
                         ReadOutcomeCounts(store_, document));
  rollout.set_outcome_count(TotalOutcomes(counts));
  rollout.set_odd_outcomes(counts.odd());
  rollout.set_stale_outcomes(row.rollout().stale_outcomes() + counts.stale());
  std::vector<rules::OutcomeCount> by_phase = CountsByPhase(counts);
  SHOAL_ASSIGN_OR_RETURN(const auto lost, lost_.InPhases(row, by_phase));
  rollout.clear_phases();
  for (int i = 0; i < document.phases_size(); ++i) {
    auto* phase = rollout.add_phases();
    phase->set_name(document.phases(i).name());
    phase->set_expected(document.phases(i).expected_devices());
    rules::OutcomeCount& count = by_phase[static_cast<size_t>(i)];
    count.lost = lost[static_cast<size_t>(i)];
    phase->set_succeeded(count.succeeded);
    phase->set_failed(count.failed);
    phase->set_refused(count.refused);
    phase->set_trying(count.trying);
    phase->set_lost(count.lost);
    phase->set_open(row.document_signed() &&
                    static_cast<uint32_t>(i) <= document.open_phase());
  }
  AddTimes(row, counts, by_phase, trust_.View()->policy,
           store_.clock().WallNow(), rollout);
  if (rollout.state() == rollout::v1::ROLLOUT_STATE_PREPARING &&
      !row.document_signed()) {
    SHOAL_ASSIGN_OR_RETURN(const DeltaIndexes progress,
                           IndexesOf(releases_, deltas_, row));
    rollout.mutable_deltas()->set_wanted(progress.wanted);
    rollout.mutable_deltas()->set_made(progress.made);
    rollout.mutable_deltas()->set_bytes(progress.bytes);
  }
  return rollout;
}

absl::StatusOr<store::RolloutRow> Rollouts::Row(const std::string& name) const {
  SHOAL_ASSIGN_OR_RETURN(std::string key, RolloutKey(name));
  return store_.Get<store::RolloutRow>(kRollouts, key);
}

absl::StatusOr<std::vector<store::RolloutRow>> Rollouts::OfType(
    const std::string& device_type) const {
  std::vector<store::RolloutRow> rows;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::RolloutRow>(
      kRollouts, "", "", [&](std::string_view, const store::RolloutRow& row) {
        if (row.rollout().document().device_type() == device_type)
          rows.push_back(row);
        return true;
      }));
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.rollout().document().order() > b.rollout().document().order();
  });
  return rows;
}

absl::StatusOr<rollout::v1::Rollout> Rollouts::Get(
    const std::string& name) const {
  SHOAL_ASSIGN_OR_RETURN(const auto row, Row(name));
  SHOAL_ASSIGN_OR_RETURN(auto rollout, View(row));
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::OutcomeRow>(
      kOutcomes, row.rollout().document().id() + "/", "",
      [&](std::string_view, const store::OutcomeRow& outcome) {
        *rollout.add_outcomes() = outcome.outcome();
        return rollout.outcomes_size() < kShownOutcomes;
      }));
  return rollout;
}

absl::StatusOr<rollout::v1::Rollout> Rollouts::Progress(
    const std::string& name) const {
  SHOAL_ASSIGN_OR_RETURN(const auto row, Row(name));
  return View(row);
}

absl::StatusOr<Rollouts::Page> Rollouts::List(
    int32_t page_size, const std::string& page_token) const {
  SHOAL_ASSIGN_OR_RETURN(PageRequest page, ParsePage(page_size, page_token));
  std::vector<store::RolloutRow> rows;
  Page result;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::RolloutRow>(
      kRollouts, "", page.after,
      [&](std::string_view, const store::RolloutRow& row) {
        if (rows.size() == page.size) {
          result.next_page_token =
              PageToken(rows.back().rollout().document().id());
          return false;
        }
        rows.push_back(row);
        return true;
      }));
  for (const store::RolloutRow& row : rows) {
    SHOAL_ASSIGN_OR_RETURN(auto view, View(row));
    result.rollouts.push_back(std::move(view));
  }
  return result;
}

absl::StatusOr<std::vector<store::RolloutRow>> Rollouts::Live() const {
  std::vector<store::RolloutRow> rows;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::RolloutRow>(
      kRollouts, "", "", [&](std::string_view, const store::RolloutRow& row) {
        const RolloutState state = row.rollout().state();
        const bool behind =
            IsFinal(state) && row.document_signed() &&
            (row.resign() || row.rollout().document().state() != state);
        if (!IsFinal(state) || behind) rows.push_back(row);
        return true;
      }));
  return rows;
}

}  // namespace shoal::server
