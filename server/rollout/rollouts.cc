#include "server/rollout/rollouts.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "fmt/format.h"
#include "rules/access.h"
#include "rules/outcome_shard.h"
#include "rules/outcomes.h"
#include "server/fleet/nodes.h"
#include "server/rollout/plan.h"
#include "server/store/paging.h"
#include "server/store/requests.h"

namespace shoal::server {
namespace {

using rollout::v1::RolloutState;

std::string OutcomeKey(std::string_view rollout, std::string_view device_hex) {
  return fmt::format("{}/{}", rollout, device_hex);
}

// Ended rollouts of a device type that its devices still find in the metadata.
constexpr size_t kEndedKept = 5;

// Whether every device that `older` selects is selected by `newer`, as far as
// the selectors alone show it.
bool Covers(const policy::v1::DeviceSelector& newer,
            const policy::v1::DeviceSelector& older) {
  return newer.all() ||
         google::protobuf::util::MessageDifferencer::Equals(newer, older);
}

static_assert(rules::kMaxOutcomeShards == dht::kMaxOutcomeShards);

// T42: at the writer's place of one of the phases. Which phase the device
// believed to be in is not asked: its labels may have changed on the way.
bool AtOwnPlace(const rollout::v1::RolloutDocument& document,
                const dht::VerifiedRecord& record,
                const dht::PlaceNamer& places) {
  for (int phase = 0; phase < document.phases_size(); ++phase) {
    if (record.body.place() ==
        places.Outcome(document.id(), record.writer.id,
                       rules::OutcomeShards(document, phase)))
      return true;
  }
  return false;
}

}  // namespace

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

absl::StatusOr<std::vector<rules::OutcomeCount>> Rollouts::Counts(
    const store::RolloutRow& row) const {
  const auto& document = row.rollout().document();
  rules::OutcomeTally tally(document.phases_size());
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::OutcomeRow>(
      kOutcomes, document.id() + "/", "",
      [&](std::string_view, const store::OutcomeRow& outcome) {
        const rollout::v1::DeviceOutcome& view = outcome.outcome();
        tally.Add(view.device(), outcome.counter(),
                  static_cast<int>(view.phase()),
                  view.success()   ? rules::OutcomeVerdict::kSucceeded
                  : view.refused() ? rules::OutcomeVerdict::kRefused
                                   : rules::OutcomeVerdict::kFailed);
        return true;
      }));
  return tally.ByPhase();
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

absl::Status Rollouts::OnHalt(Transaction& tx,
                              const dht::VerifiedRecord& record) {
  records::v1::Halt halt;
  if (!halt.ParseFromString(record.body.payload()) ||
      !IsIdentifier(halt.rollout_id())) {
    return absl::OkStatus();
  }
  auto found = tx.Get<store::RolloutRow>(kRollouts, halt.rollout_id());
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(found);
  store::RolloutRow row = *std::move(found);
  const auto view = trust_.View();
  const auto* op =
      rules::FindOperatorByKey(view->policy, record.writer.public_key);
  if (op == nullptr || !rules::Evaluate(view->policy, rules::PrincipalOf(*op),
                                        "rollout.halt", nullptr, {})
                            .allowed) {
    LogWarn("halt_refused", {{"rollout", halt.rollout_id()}});
    return absl::OkStatus();
  }
  for (const std::string& known : row.halt_records()) {
    if (dht::RecordDigest(known) == record.digest) return absl::OkStatus();
  }
  for (const std::string& lifted : row.rollout().document().lifted_halts()) {
    if (lifted == record.digest) return absl::OkStatus();
  }
  row.add_halt_records(record.bytes);
  if (row.rollout().state() != rollout::v1::ROLLOUT_STATE_FINISHED &&
      row.rollout().state() != rollout::v1::ROLLOUT_STATE_FAILED) {
    row.mutable_rollout()->set_state(rollout::v1::ROLLOUT_STATE_HALTED);
    row.mutable_rollout()->set_message(
        fmt::format("halted by {}: {}", op->name(), halt.reason()));
  }
  row.set_revision(row.revision() + 1);
  tx.Put(kRollouts, halt.rollout_id(), row);
  LogInfo("rollout_halted",
          {{"rollout", halt.rollout_id()}, {"by", op->name()}});
  return absl::OkStatus();
}

absl::Status Rollouts::OnOutcome(Transaction& tx,
                                 const dht::VerifiedRecord& record) {
  records::v1::Outcome outcome;
  const std::string device = HexEncode(record.writer.id);
  if (!outcome.ParseFromString(record.body.payload()) ||
      outcome.device_id() != record.writer.id ||
      !IsIdentifier(outcome.rollout_id())) {
    LogWarn("outcome_refused", {{"device", device}, {"reason", "bad_outcome"}});
    return absl::OkStatus();
  }
  auto row = tx.Get<store::RolloutRow>(kRollouts, outcome.rollout_id());
  if (absl::IsNotFound(row.status())) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(row);
  auto device_row = tx.Get<store::DeviceRow>(kDevices, device);
  if (absl::IsNotFound(device_row.status())) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(device_row);
  const auto& document = row->rollout().document();
  // The phase is computed, not believed.
  const int phase = rules::PhaseOf(document, FactsOf(*device_row));
  if (phase < 0) {
    LogWarn("outcome_refused", {{"device", device},
                                {"rollout", outcome.rollout_id()},
                                {"reason", "not_selected"}});
    return absl::OkStatus();
  }
  if (!AtOwnPlace(document, record, writer_.places())) {
    LogWarn("outcome_refused", {{"device", device},
                                {"rollout", outcome.rollout_id()},
                                {"reason", "wrong_place"}});
    return absl::OkStatus();
  }
  const std::string key = OutcomeKey(outcome.rollout_id(), device);
  auto existing = tx.Get<store::OutcomeRow>(kOutcomes, key);
  if (existing.ok() && existing->counter() >= outcome.counter()) {
    return absl::OkStatus();
  }
  store::OutcomeRow stored;
  stored.set_counter(outcome.counter());
  rollout::v1::DeviceOutcome& view = *stored.mutable_outcome();
  const bool claimed = outcome.result() == records::v1::OUTCOME_RESULT_SUCCESS;
  const rules::OutcomeVerdict verdict =
      rules::JudgeOutcome(document, outcome.result(), outcome.running_sha256());
  const bool success = verdict == rules::OutcomeVerdict::kSucceeded;
  view.set_device("devices/" + device);
  view.set_success(success);
  view.set_refused(verdict == rules::OutcomeVerdict::kRefused);
  view.set_reason(claimed && !success ? "wrong_digest" : outcome.reason());
  view.set_message(outcome.message());
  view.set_running_sha256(HexEncode(outcome.running_sha256()));
  view.set_running_version(outcome.running_version());
  view.set_bytes_downloaded(outcome.bytes_downloaded());
  view.set_bytes_from_peers(outcome.bytes_from_peers());
  view.set_bytes_from_origin(outcome.bytes_from_origin());
  view.set_used_delta(outcome.used_delta());
  view.set_phase(static_cast<uint32_t>(phase));
  view.set_finished_at(outcome.finished());
  tx.Put(kOutcomes, key, stored);
  row->set_revision(row->revision() + 1);
  tx.Put(kRollouts, outcome.rollout_id(), *row);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Rollouts::SupersededBy(
    const store::RolloutRow& row) const {
  const rollout::v1::RolloutDocument& document = row.rollout().document();
  std::string name;
  uint64_t highest = document.order();
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::RolloutRow>(
      kRollouts, "", "", [&](std::string_view, const store::RolloutRow& other) {
        const rollout::v1::Rollout& newer = other.rollout();
        // One that was stopped, or ran out, before the devices got it from
        // storage nodes supersedes nothing.
        if ((newer.state() == rollout::v1::ROLLOUT_STATE_ACTIVE ||
             newer.state() == rollout::v1::ROLLOUT_STATE_FINISHED) &&
            newer.published_at() > 0 &&
            newer.document().device_type() == document.device_type() &&
            newer.document().order() > highest &&
            Covers(newer.document().selector(), document.selector())) {
          highest = newer.document().order();
          name = newer.name();
        }
        return true;
      }));
  return name;
}

absl::StatusOr<std::vector<std::string>> Rollouts::Retired(
    const std::string& device_type) const {
  std::vector<std::pair<uint64_t, std::string>> ended;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::RolloutRow>(
      kRollouts, "", "", [&](std::string_view, const store::RolloutRow& row) {
        const rollout::v1::RolloutDocument& document = row.rollout().document();
        if (row.document_signed() && document.device_type() == device_type &&
            IsFinal(document.state())) {
          ended.emplace_back(document.order(), RolloutTarget(document));
        }
        return true;
      }));
  std::sort(ended.rbegin(), ended.rend());
  std::vector<std::string> targets;
  for (size_t i = kEndedKept; i < ended.size(); ++i) {
    targets.push_back(std::move(ended[i].second));
  }
  return targets;
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
