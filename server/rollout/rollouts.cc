#include "server/rollout/rollouts.h"

#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "fmt/format.h"
#include "server/fleet/nodes.h"
#include "server/rollout/plan.h"
#include "server/store/paging.h"
#include "server/store/requests.h"

namespace shoal::server {

using rollout::v1::RolloutState;

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
  return state == rollout::v1::ROLLOUT_STATE_HALTED ||
         state == rollout::v1::ROLLOUT_STATE_FINISHED ||
         state == rollout::v1::ROLLOUT_STATE_FAILED;
}

Rollouts::Rollouts(Store& store, const RecordWriter& writer,
                   TrustRepository& trust, Releases& releases, Deltas& deltas,
                   Devices& devices)
    : store_(store),
      writer_(writer),
      trust_(trust),
      releases_(releases),
      deltas_(deltas),
      devices_(devices) {}

absl::StatusOr<rollout::v1::Rollout> Rollouts::Create(
    rollout::v1::CreateRolloutRequest request, const std::string& principal) {
  const rollout::v1::CreateRolloutRequest original = request;
  if (request.rollout_id().empty()) {
    request.set_rollout_id("r-" + HexEncode(crypto::RandomBytes(6)));
  }
  SHOAL_ASSIGN_OR_RETURN(auto release, releases_.Row(request.release()));
  if (request.device_type().empty()) {
    request.set_device_type(release.release().device_type());
  }
  SHOAL_ASSIGN_OR_RETURN(auto rows, devices_.Accepted(request.device_type()));
  std::vector<rules::DeviceFacts> facts;
  for (const store::DeviceRow& row : rows) facts.push_back(FactsOf(row));
  const absl::Time now = store_.clock().WallNow();
  SHOAL_ASSIGN_OR_RETURN(
      auto document,
      PlanRollout(request, release, writer_.fleet_id(), facts, now));

  store::RolloutRow row;
  row.set_created_by(principal);
  row.set_revision(1);
  rollout::v1::Rollout& rollout = *row.mutable_rollout();
  rollout.set_name("rollouts/" + document.id());
  rollout.set_state(rollout::v1::ROLLOUT_STATE_PREPARING);
  rollout.set_message("making deltas");
  rollout.set_created_at(absl::ToUnixMillis(now));
  *rollout.mutable_document() = document;

  std::string name = rollout.name();
  {
    Transaction tx(store_);
    rollout::v1::Rollout first;
    SHOAL_ASSIGN_OR_RETURN(bool again,
                           FindRequest(tx, "CreateRollout", principal,
                                       request.request_id(), original, first));
    if (!again) {
      if (tx.Has(kRollouts, document.id())) {
        return MakeError(absl::StatusCode::kAlreadyExists, "already_exists",
                         name + " exists");
      }
      SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
      plane.set_rollout_order(plane.rollout_order() + 1);
      rollout.mutable_document()->set_order(plane.rollout_order());
      if (request.validate_only()) return View(row);
      tx.Put(kMeta, "identity", plane);
      tx.Put(kRollouts, document.id(), row);
      RememberRequest(tx, "CreateRollout", principal, request.request_id(),
                      original, rollout);
      tx.Audit(principal, "rollout.create", name, "ok",
               document.release().version());
      SHOAL_RETURN_IF_ERROR(tx.Commit());
    } else {
      name = first.name();
    }
  }
  return Get(name);
}

absl::StatusOr<rollout::v1::Rollout> Rollouts::View(
    const store::RolloutRow& row) const {
  rollout::v1::Rollout rollout = row.rollout();
  const auto& document = rollout.document();
  rollout.set_etag(fmt::format("{}", row.revision()));
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::OutcomeRow>(
      kOutcomes, document.id() + "/", "",
      [&](std::string_view, const store::OutcomeRow& outcome) {
        *rollout.add_outcomes() = outcome.outcome();
        return true;
      }));
  SHOAL_ASSIGN_OR_RETURN(auto counts, Counts(row));
  rollout.clear_phases();
  for (int i = 0; i < document.phases_size(); ++i) {
    auto* phase = rollout.add_phases();
    phase->set_name(document.phases(i).name());
    phase->set_expected(document.phases(i).expected_devices());
    phase->set_succeeded(counts[static_cast<size_t>(i)].succeeded);
    phase->set_failed(counts[static_cast<size_t>(i)].failed);
    phase->set_refused(counts[static_cast<size_t>(i)].refused);
    phase->set_open(row.document_signed() &&
                    static_cast<uint32_t>(i) <= document.open_phase());
  }
  if (rollout.state() == rollout::v1::ROLLOUT_STATE_PREPARING &&
      !row.document_signed()) {
    const std::string release = fmt::format(
        "releases/{}/{}", document.device_type(), document.release().version());
    SHOAL_ASSIGN_OR_RETURN(auto release_row, releases_.Row(release));
    SHOAL_ASSIGN_OR_RETURN(auto progress, deltas_.ProgressOf(release_row));
    rollout.mutable_deltas()->set_wanted(progress.wanted);
    rollout.mutable_deltas()->set_made(progress.made);
    rollout.mutable_deltas()->set_bytes(progress.bytes);
  }
  return rollout;
}

absl::StatusOr<rollout::v1::Rollout> Rollouts::Get(
    const std::string& name) const {
  SHOAL_ASSIGN_OR_RETURN(std::string key, RolloutKey(name));
  SHOAL_ASSIGN_OR_RETURN(auto row,
                         store_.Get<store::RolloutRow>(kRollouts, key));
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
        const bool behind = IsFinal(state) && row.document_signed() &&
                            row.rollout().document().state() != state;
        if (!IsFinal(state) || behind) rows.push_back(row);
        return true;
      }));
  return rows;
}

}  // namespace shoal::server
