// Abort: ends a rollout, and begins another that leads the devices which took
// it back to the release before.
#include <algorithm>

#include "common/bytes.h"
#include "fmt/format.h"
#include "server/release/releases_before.h"
#include "server/rollout/plan.h"
#include "server/rollout/rollouts.h"
#include "server/store/requests.h"

namespace shoal::server {
namespace {

constexpr size_t kMaxId = 64;
// Devices that a document names beside all else that it holds in 16 KiB.
constexpr size_t kMaxNamed = 300;

// ID-back; when that is taken ID-back-2 and so on. Of a long id the end goes.
std::string WayBackId(const Store& store, const std::string& id) {
  for (int n = 1;; ++n) {
    const std::string tail = n == 1 ? "-back" : fmt::format("-back-{}", n);
    std::string back = id.substr(0, kMaxId - tail.size()) + tail;
    if (!store.Has(kRollouts, back)) return back;
  }
}

}  // namespace

// The rollout's own selector. Of a group that is gone (the rollout was at its
// end by then) no device can tell any more that it was in it: the devices that
// took the image are named instead, or where they are too many, all that run
// it.
absl::StatusOr<policy::v1::DeviceSelector> Rollouts::SelectorBack(
    const rollout::v1::RolloutDocument& document) const {
  policy::v1::DeviceSelector selector = document.selector();
  const bool gone = std::any_of(
      selector.groups().begin(), selector.groups().end(),
      [&](const std::string& group) {
        const auto row = store_.Get<store::GroupRow>(kGroups, group);
        return absl::IsNotFound(row.status()) ||
               (row.ok() && row->group().deleting());
      });
  if (!gone) return selector;
  selector.clear_groups();
  std::vector<std::string> took;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::OutcomeRow>(
      kOutcomes, document.id() + "/", "",
      [&](std::string_view key, const store::OutcomeRow& row) {
        if (row.outcome().success())
          took.emplace_back(key.substr(key.find('/') + 1));
        return took.size() <= kMaxNamed;
      }));
  if (took.size() <= kMaxNamed && selector.device_ids().empty())
    selector.mutable_device_ids()->Add(took.begin(), took.end());
  if (selector.device_ids().empty() && selector.labels().empty() &&
      selector.device_types().empty())
    selector.set_all(true);
  return selector;
}

absl::StatusOr<Rollouts::Draft> Rollouts::DraftWayBack(
    const store::RolloutRow& row,
    const rollout::v1::AbortRolloutRequest& request) const {
  const auto& document = row.rollout().document();
  SHOAL_ASSIGN_OR_RETURN(
      const auto aborted,
      releases_.Row(fmt::format("releases/{}/{}", document.device_type(),
                                document.release().version())));
  std::string back_to = request.back_to();
  std::vector<store::ReleaseRow> before;
  if (back_to.empty()) {
    SHOAL_ASSIGN_OR_RETURN(auto of_type,
                           releases_.OfType(document.device_type()));
    before = ReleasesBefore(std::move(of_type), aborted);
    if (before.empty()) {
      return FailedPrecondition(
          "no_release_before",
          "there is no release before " + document.release().version() +
              " to go back to: name one with back_to, or abort with stay");
    }
    back_to = before[0].release().name();
  }
  SHOAL_ASSIGN_OR_RETURN(const auto target, releases_.Row(back_to));
  if (target.release().sha256() == aborted.release().sha256()) {
    return InvalidArgument("bad_rollout",
                           back_to + " is the release that is aborted");
  }
  // A device that committed the aborted release has its floor there.
  if (target.release().counter() < aborted.release().min_counter()) {
    return FailedPrecondition(
        "below_floor",
        fmt::format("{} has counter {}; devices that took {} refuse what is "
                    "below {}",
                    back_to, target.release().counter(),
                    document.release().version(),
                    aborted.release().min_counter()));
  }
  rollout::v1::CreateRolloutRequest back;
  // What devices may have run before: each goes back to its own
  // (rules/way_back.h), the others to `target`.
  for (size_t i = 1; i < before.size(); ++i) {
    SHOAL_ASSIGN_OR_RETURN(*back.add_previous(), ReferenceTo(before[i]));
  }
  back.set_rollout_id(WayBackId(store_, document.id()));
  back.set_device_type(document.device_type());
  back.set_release(back_to);
  SHOAL_ASSIGN_OR_RETURN(*back.mutable_selector(), SelectorBack(document));
  *back.mutable_retry() = document.retry();
  auto* phase = back.add_phases();
  phase->set_name("all");
  phase->set_percent(100);
  // One device that can't go back is no reason to leave the others.
  back.set_error_threshold_permille(1000);
  back.set_unattended(true);
  back.set_priority(rollout::v1::ROLLOUT_PRIORITY_URGENT);
  back.set_only_running_sha256(document.release().sha256());
  back.set_leads_back_from(document.id());
  return MakeDraft(back);
}

absl::StatusOr<rollout::v1::Rollout> Rollouts::Abort(
    const rollout::v1::AbortRolloutRequest& request,
    const std::string& principal) {
  if (request.reason().size() > 512)
    return InvalidArgument("bad_reason", "a reason has at most 512 bytes");
  SHOAL_ASSIGN_OR_RETURN(const std::string key, RolloutKey(request.name()));
  SHOAL_ASSIGN_OR_RETURN(const auto seen, Row(request.name()));
  std::string answer = request.name();
  // Nobody can have taken what was never signed.
  const bool way_back = !request.stay() && seen.document_signed();
  std::optional<Draft> draft;
  if (way_back && seen.rollout().rolled_back_by().empty()) {
    SHOAL_ASSIGN_OR_RETURN(draft, DraftWayBack(seen, request));
  }
  {
    Transaction tx(store_);
    rollout::v1::Rollout first;
    SHOAL_ASSIGN_OR_RETURN(bool again,
                           FindRequest(tx, "AbortRollout", principal,
                                       request.request_id(), request, first));
    if (again) return Get(first.name());
    SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::RolloutRow>(kRollouts, key));
    if (!request.etag().empty() &&
        request.etag() != fmt::format("{}", row.revision())) {
      return MakeError(
          absl::StatusCode::kAborted, "stale_etag",
          request.name() + " was changed meanwhile: read it again");
    }
    auto* rollout = row.mutable_rollout();
    if (rollout->state() == rollout::v1::ROLLOUT_STATE_ABORTED ||
        rollout->state() == rollout::v1::ROLLOUT_STATE_FAILED ||
        (rollout->state() == rollout::v1::ROLLOUT_STATE_FINISHED &&
         !way_back)) {
      return FailedPrecondition("at_its_end",
                                request.name() + " is at its end");
    }
    rollout->set_state(rollout::v1::ROLLOUT_STATE_ABORTED);
    rollout->mutable_document()->set_state(rollout::v1::ROLLOUT_STATE_ABORTED);
    rollout->set_finished_at(absl::ToUnixMillis(store_.clock().WallNow()));
    std::string message = fmt::format(
        "aborted by {}{}", principal.substr(principal.find(':') + 1),
        request.reason().empty() ? "" : ": " + request.reason());
    if (draft) {
      if (tx.Has(kRollouts, draft->document.id()))
        return MakeError(
            absl::StatusCode::kAborted, "changed_meanwhile",
            "rollouts/" + draft->document.id() + " came meanwhile: try again");
      SHOAL_ASSIGN_OR_RETURN(auto back, Insert(tx, *draft, principal));
      answer = back.rollout().name();
      back.mutable_rollout()->set_rolls_back(request.name());
      tx.Put(kRollouts, draft->document.id(), back);
      rollout->set_rolled_back_by(answer);
      message += fmt::format("; back to {} by {}",
                             draft->document.release().version(), answer);
    }
    rollout->set_message(message);
    row.set_resign(row.document_signed());
    row.set_revision(row.revision() + 1);
    tx.Put(kRollouts, key, row);
    rollout::v1::Rollout remembered;
    remembered.set_name(answer);
    RememberRequest(tx, "AbortRollout", principal, request.request_id(),
                    request, remembered);
    tx.Audit(principal, "rollout.abort", request.name(), "ok",
             request.reason());
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  return Get(answer);
}

}  // namespace shoal::server
