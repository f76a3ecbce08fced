#include "server/rollout/driver.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "fmt/format.h"
#include "rules/position.h"
#include "rules/progress.h"
#include "server/rollout/plan.h"

namespace shoal::server {
namespace {

std::string ReleaseName(const rollout::v1::RolloutDocument& document) {
  return fmt::format("releases/{}/{}", document.device_type(),
                     document.release().version());
}

// Between two signatures that only admit more devices.
constexpr absl::Duration kAdmitPause = absl::Seconds(2);
// How long a plane that starts waits for nodes that do not answer.
constexpr absl::Duration kInformedPause = absl::Seconds(15);

void OpenPhase(store::RolloutRow& row, uint32_t phase, absl::Time now) {
  auto* document = row.mutable_rollout()->mutable_document();
  document->set_open_phase(phase);
  document->set_opened_at(absl::ToUnixMillis(now));
  while (row.phase_opened_at_size() <= static_cast<int>(phase))
    row.add_phase_opened_at(absl::ToUnixMillis(now));
}

// Positions below this were admitted before `since`.
uint64_t LostBelow(const store::RolloutRow& row, absl::Time since) {
  uint64_t below = 0;
  for (const auto& admission : row.admissions())
    if (absl::FromUnixMillis(admission.at()) < since) below = admission.below();
  return below;
}

void Admit(store::RolloutRow& row,
           const std::vector<rules::ParallelMember>& members, absl::Time now,
           std::optional<uint32_t> opening = {}) {
  auto* document = row.mutable_rollout()->mutable_document();
  if (!document->has_parallel()) return;
  const uint64_t admitted = rules::NextAdmitted(
      *document, opening.value_or(document->open_phase()), members);
  document->mutable_parallel()->set_admitted(admitted);
  document->mutable_parallel()->set_admitted_at(absl::ToUnixMillis(now));
  auto* admissions = row.mutable_admissions();
  while (admissions->size() > 1 &&
         absl::FromUnixMillis(admissions->Get(1).at()) < now - LostAfter(row))
    admissions->erase(admissions->begin());
  if (!admissions->empty() &&
      admissions->Get(admissions->size() - 1).below() == admitted)
    return;
  auto* admission = row.add_admissions();
  admission->set_below(admitted);
  admission->set_at(absl::ToUnixMillis(now));
}

// Names of those who approved the phase behind the open one. Rows of older
// planes know only that somebody did.
std::set<std::string> ApproversOf(const store::RolloutRow& row) {
  const uint32_t next = row.rollout().document().open_phase() + 1;
  std::set<std::string> names;
  for (const auto& approval : row.rollout().approvals()) {
    const std::string& who = approval.approver();
    if (approval.phase() == next) names.insert(who.substr(who.find(':') + 1));
  }
  for (const uint32_t phase : row.approved_phases())
    if (phase == next) names.insert("");
  return names;
}

}  // namespace

RolloutDriver::RolloutDriver(Store& store, Rollouts& rollouts,
                             Releases& releases, Deltas& deltas,
                             Devices& devices, TrustRepository& trust,
                             Publisher& publisher, CountMirrors mirrors)
    : store_(store),
      rollouts_(rollouts),
      releases_(releases),
      deltas_(deltas),
      devices_(devices),
      trust_(trust),
      publisher_(publisher),
      mirrors_(std::move(mirrors)) {}

RolloutDriver::~RolloutDriver() { Stop(); }

void RolloutDriver::Start(std::function<bool()> informed) {
  thread_ = std::thread([this, informed = std::move(informed)] {
    const absl::Duration latest =
        store_.clock().MonotonicNow() + kInformedPause;
    while (informed && !informed() && !store_.shut_down() &&
           store_.clock().MonotonicNow() < latest)
      store_.WaitForChange(store_.revision(), absl::Milliseconds(100));
    while (!store_.shut_down()) {
      const uint64_t seen = store_.revision();
      const absl::Status status = Step();
      if (!status.ok()) LogError("rollouts_failed", {{"error", status}});
      // Gates also open by time, mirrors are asked for.
      store_.WaitForChange(seen, absl::Milliseconds(500));
    }
  });
}

void RolloutDriver::Stop() {
  if (thread_.joinable()) thread_.join();
}

absl::Status RolloutDriver::Step() {
  SHOAL_ASSIGN_OR_RETURN(auto rows, rollouts_.Live());
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return Rank(a) > Rank(b);
  });
  for (const store::RolloutRow& row : rows) {
    const absl::Status status = StepOne(row);
    if (!status.ok()) {
      LogError("rollout_step_failed",
               {{"rollout", row.rollout().name()}, {"error", status}});
    }
  }
  return absl::OkStatus();
}

absl::Status RolloutDriver::StepOne(const store::RolloutRow& row) {
  const auto state = row.rollout().state();
  if (row.resign())
    return Sign(
        row, [](store::RolloutRow&) {}, nullptr);
  if (IsFinal(state)) {
    // Halted by a record or at its end: the document says so too.
    return Sign(
        row,
        [state](store::RolloutRow& next) {
          next.mutable_rollout()->mutable_document()->set_state(state);
        },
        nullptr);
  }
  if (!row.document_signed()) return Prepare(row);
  if (state == rollout::v1::ROLLOUT_STATE_PREPARING) {
    return AwaitPublication(row);
  }
  return Advance(row);
}

absl::Status RolloutDriver::End(const store::RolloutRow& row,
                                rollout::v1::RolloutState state,
                                const std::string& message) {
  return Sign(
      row,
      [&](store::RolloutRow& next) {
        auto* rollout = next.mutable_rollout();
        rollout->set_state(state);
        rollout->set_message(message);
        rollout->set_finished_at(absl::ToUnixMillis(store_.clock().WallNow()));
        rollout->mutable_document()->set_state(state);
      },
      nullptr);
}

absl::Status RolloutDriver::Prepare(const store::RolloutRow& row) {
  const auto& document = row.rollout().document();
  SHOAL_ASSIGN_OR_RETURN(auto release, releases_.Row(ReleaseName(document)));
  SHOAL_ASSIGN_OR_RETURN(auto progress, deltas_.ProgressOf(release));
  if (progress.made < progress.wanted) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const auto members, Members(row));
  return Sign(
      row,
      [&](store::RolloutRow& next) {
        auto* rollout = next.mutable_rollout();
        OpenPhase(next, 0, store_.clock().WallNow());
        Admit(next, members, store_.clock().WallNow());
        rollout->mutable_deltas()->set_wanted(progress.wanted);
        rollout->mutable_deltas()->set_made(progress.made);
        rollout->mutable_deltas()->set_bytes(progress.bytes);
        rollout->set_message("publishing");
      },
      &progress.index);
}

absl::Status RolloutDriver::Sign(const store::RolloutRow& seen,
                                 std::function<void(store::RolloutRow&)> change,
                                 const release::v1::DeltaIndex* index) {
  const std::string key = seen.rollout().document().id();
  store::RolloutRow next = seen;
  change(next);
  auto* document = next.mutable_rollout()->mutable_document();
  if (seen.document_signed()) document->set_version(document->version() + 1);
  next.set_resign(false);
  RepositoryChange repository;
  if (index != nullptr && !index->deltas().empty()) {
    const std::string target = DeltaIndexTarget(document->device_type(),
                                                document->release().version());
    document->mutable_release()->set_delta_index_target(target);
    repository.put[target] = index->SerializeAsString();
  }
  repository.put[RolloutTarget(*document)] = document->SerializeAsString();
  SHOAL_ASSIGN_OR_RETURN(repository.remove,
                         rollouts_.Retired(document->device_type()));
  next.set_document_signed(true);
  next.set_revision(seen.revision() + 1);
  const absl::Status applied = trust_.Apply(
      repository,
      [&](Transaction& tx, const TrustRepository::Changed& changed,
          const TrustView& view) -> absl::Status {
        SHOAL_ASSIGN_OR_RETURN(auto current,
                               tx.Get<store::RolloutRow>(kRollouts, key));
        if (current.revision() != seen.revision()) {
          // A halt or an outcome came in between: look again.
          return MakeError(absl::StatusCode::kAborted, "changed_meanwhile",
                           "the rollout changed while it was signed");
        }
        SHOAL_RETURN_IF_ERROR(publisher_.AddPublication(tx, changed, view));
        SHOAL_ASSIGN_OR_RETURN(uint64_t barrier, Publisher::Barrier(tx));
        next.set_barrier(barrier);
        tx.Put(kRollouts, key, next);
        tx.Audit("plane", "rollout.sign", next.rollout().name(), "ok",
                 fmt::format("version {}, phase {}", document->version(),
                             document->open_phase()));
        return absl::OkStatus();
      });
  SHOAL_RETURN_IF_ERROR(applied);
  LogInfo("rollout_signed", {{"rollout", key},
                             {"version", document->version()},
                             {"phase", document->open_phase()}});
  return releases_.SyncTree();
}

absl::Status RolloutDriver::SetMessage(const store::RolloutRow& row,
                                       const std::string& message) {
  if (row.rollout().message() == message) return absl::OkStatus();
  return Change(row, [&](store::RolloutRow& next) {
    next.mutable_rollout()->set_message(message);
  });
}

absl::Status RolloutDriver::Change(
    const store::RolloutRow& row,
    const std::function<void(store::RolloutRow&)>& change) {
  const std::string key = row.rollout().document().id();
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(auto next, tx.Get<store::RolloutRow>(kRollouts, key));
  if (next.revision() != row.revision()) return absl::OkStatus();
  change(next);
  next.set_revision(next.revision() + 1);
  tx.Put(kRollouts, key, next);
  return tx.Commit();
}

absl::Status RolloutDriver::AwaitPublication(const store::RolloutRow& row) {
  const auto& document = row.rollout().document();
  SHOAL_ASSIGN_OR_RETURN(bool acknowledged,
                         publisher_.Published(row.barrier()));
  std::vector<std::string> digests = {document.release().sha256()};
  SHOAL_ASSIGN_OR_RETURN(auto release, releases_.Row(ReleaseName(document)));
  SHOAL_ASSIGN_OR_RETURN(auto progress, deltas_.ProgressOf(release));
  for (const auto& delta : progress.index.deltas()) {
    digests.push_back(delta.sha256());
  }
  const Mirrors mirrors = mirrors_(digests);
  const bool done =
      acknowledged && mirrors.wanted > 0 && mirrors.complete >= mirrors.wanted;
  const auto& shown = row.rollout().deltas();
  if (!done && shown.mirrors() == mirrors.complete &&
      shown.mirrors_wanted() == mirrors.wanted) {
    return SetMessage(row, acknowledged ? "waiting for storage nodes to hold "
                                          "the bytes"
                                        : "waiting for receipts");
  }
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(auto next,
                         tx.Get<store::RolloutRow>(kRollouts, document.id()));
  if (next.revision() != row.revision()) return absl::OkStatus();
  auto* rollout = next.mutable_rollout();
  rollout->mutable_deltas()->set_mirrors(mirrors.complete);
  rollout->mutable_deltas()->set_mirrors_wanted(mirrors.wanted);
  if (done) {
    rollout->set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
    rollout->set_published_at(absl::ToUnixMillis(store_.clock().WallNow()));
    rollout->set_message("");
    tx.Audit("plane", "rollout.publish", rollout->name(), "ok");
  }
  next.set_revision(next.revision() + 1);
  tx.Put(kRollouts, document.id(), next);
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  if (done) LogInfo("rollout_published", {{"rollout", document.id()}});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<rules::ParallelMember>> RolloutDriver::Members(
    const store::RolloutRow& row) {
  std::vector<rules::ParallelMember> members;
  const auto& document = row.rollout().document();
  if (!document.has_parallel()) return members;
  SHOAL_ASSIGN_OR_RETURN(const auto devices,
                         devices_.Accepted(document.device_type()));
  SHOAL_ASSIGN_OR_RETURN(const auto answered, rollouts_.Answered(row));
  const uint64_t lost_below =
      LostBelow(row, store_.clock().WallNow() - LostAfter(row));
  for (const store::DeviceRow& device : devices) {
    const rules::DeviceFacts facts = FactsOf(device);
    rules::ParallelMember member;
    member.phase = rules::PhaseOf(document, facts);
    if (member.phase < 0) continue;
    member.position = rules::Position(document.id(), facts.id);
    member.answered =
        answered.contains(HexEncode(facts.id)) || member.position < lost_below;
    members.push_back(member);
  }
  return members;
}

absl::Status RolloutDriver::Advance(const store::RolloutRow& row) {
  const auto& document = row.rollout().document();
  const absl::Time now = store_.clock().WallNow();
  SHOAL_ASSIGN_OR_RETURN(const std::string newer, rollouts_.SupersededBy(row));
  if (!newer.empty()) {
    return End(row, rollout::v1::ROLLOUT_STATE_FINISHED,
               "superseded by " + newer);
  }
  if (row.rollout().state() == rollout::v1::ROLLOUT_STATE_PAUSED) {
    return absl::ToUnixSeconds(now) >= document.expires()
               ? End(row, rollout::v1::ROLLOUT_STATE_FINISHED, "expired")
               : absl::OkStatus();
  }
  rules::PlaneView view;
  SHOAL_ASSIGN_OR_RETURN(view.counts, rollouts_.Counts(row));
  view.accepted_failures = {row.accepted_failures().begin(),
                            row.accepted_failures().end()};
  view.approvers = ApproversOf(row);
  view.now = now;
  const size_t open = document.open_phase();
  // The moment from which the outcomes are enough is durable: a restart does
  // not begin the settling anew, nor shorten it.
  const rules::OutcomeCount counted = rules::WithoutAccepted(
      view.counts[open],
      open < view.accepted_failures.size() ? view.accepted_failures[open] : 0);
  const bool enough =
      document.phases(static_cast<int>(open)).gate().settle_ms() > 0 &&
      rules::EnoughOutcomes(document, static_cast<int>(open), counted);
  if (enough != (row.enough_since() > 0)) {
    return Change(row, [&](store::RolloutRow& next) {
      next.set_enough_since(enough ? absl::ToUnixMillis(now) : 0);
    });
  }
  if (enough) {
    view.counts[open].enough_since = absl::FromUnixMillis(row.enough_since());
  }
  const rules::PlaneStep step = rules::NextStep(document, view);
  switch (step.kind) {
    case rules::PlaneStep::Kind::kHalt:
      return End(row, rollout::v1::ROLLOUT_STATE_HALTED, step.message);
    case rules::PlaneStep::Kind::kFinish:
      return End(row, rollout::v1::ROLLOUT_STATE_FINISHED, step.message);
    case rules::PlaneStep::Kind::kOpenNext: {
      SHOAL_ASSIGN_OR_RETURN(const auto members, Members(row));
      return Sign(
          row,
          [&](store::RolloutRow& next) {
            next.mutable_rollout()->set_message("");
            next.set_enough_since(0);
            // Whom the old phases let in is known by the document before.
            Admit(next, members, now, document.open_phase() + 1);
            OpenPhase(next, document.open_phase() + 1, now);
          },
          nullptr);
    }
    case rules::PlaneStep::Kind::kWait:
      break;
  }
  SHOAL_ASSIGN_OR_RETURN(const bool admitted, AdmitMore(row));
  return admitted ? absl::OkStatus() : SetMessage(row, step.message);
}

absl::StatusOr<bool> RolloutDriver::AdmitMore(const store::RolloutRow& row) {
  const auto& document = row.rollout().document();
  if (!document.has_parallel()) return false;
  const absl::Time now = store_.clock().WallNow();
  const absl::Duration since =
      now - absl::FromUnixMillis(document.parallel().admitted_at());
  if (since < kAdmitPause && since >= absl::ZeroDuration()) return false;
  SHOAL_ASSIGN_OR_RETURN(const auto members, Members(row));
  const bool renew =
      since < absl::ZeroDuration() ||
      since >= absl::Milliseconds(document.parallel().renew_ms());
  if (!renew && rules::NextAdmitted(document, document.open_phase(), members) ==
                    document.parallel().admitted()) {
    return false;
  }
  SHOAL_RETURN_IF_ERROR(Sign(
      row, [&](store::RolloutRow& next) { Admit(next, members, now); },
      nullptr));
  return true;
}

}  // namespace shoal::server
