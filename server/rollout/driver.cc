#include "server/rollout/driver.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "fmt/format.h"
#include "server/rollout/plan.h"

namespace shoal::server {
namespace {

std::string ReleaseName(const rollout::v1::RolloutDocument& document) {
  return fmt::format("releases/{}/{}", document.device_type(),
                     document.release().version());
}

}  // namespace

RolloutDriver::RolloutDriver(Store& store, Rollouts& rollouts,
                             Releases& releases, Deltas& deltas,
                             TrustRepository& trust, Publisher& publisher,
                             CountMirrors mirrors)
    : store_(store),
      rollouts_(rollouts),
      releases_(releases),
      deltas_(deltas),
      trust_(trust),
      publisher_(publisher),
      mirrors_(std::move(mirrors)) {}

RolloutDriver::~RolloutDriver() { Stop(); }

void RolloutDriver::Start() {
  thread_ = std::thread([this] {
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

absl::Status RolloutDriver::Prepare(const store::RolloutRow& row) {
  const auto& document = row.rollout().document();
  SHOAL_ASSIGN_OR_RETURN(auto release, releases_.Row(ReleaseName(document)));
  SHOAL_ASSIGN_OR_RETURN(auto progress, deltas_.ProgressOf(release));
  if (progress.made < progress.wanted) return absl::OkStatus();
  return Sign(
      row,
      [&](store::RolloutRow& next) {
        auto* rollout = next.mutable_rollout();
        rollout->mutable_document()->set_opened_at(
            absl::ToUnixMillis(store_.clock().WallNow()));
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
  const std::string key = row.rollout().document().id();
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(auto next, tx.Get<store::RolloutRow>(kRollouts, key));
  if (next.revision() != row.revision()) return absl::OkStatus();
  next.mutable_rollout()->set_message(message);
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

absl::Status RolloutDriver::Advance(const store::RolloutRow& row) {
  const auto& document = row.rollout().document();
  const absl::Time now = store_.clock().WallNow();
  SHOAL_ASSIGN_OR_RETURN(auto counts, rollouts_.Counts(row));
  const int open = static_cast<int>(document.open_phase());
  const auto end = [&](rollout::v1::RolloutState state,
                       const std::string& message) {
    return Sign(
        row,
        [&](store::RolloutRow& next) {
          auto* rollout = next.mutable_rollout();
          rollout->set_state(state);
          rollout->set_message(message);
          rollout->set_finished_at(absl::ToUnixMillis(now));
          rollout->mutable_document()->set_state(state);
        },
        nullptr);
  };
  SHOAL_ASSIGN_OR_RETURN(const std::string newer, rollouts_.SupersededBy(row));
  if (!newer.empty()) {
    return end(rollout::v1::ROLLOUT_STATE_FINISHED, "superseded by " + newer);
  }
  // A phase that is open stays under the threshold, not the newest one only.
  for (int i = 0; i <= open; ++i) {
    if (rules::TooManyFailures(document, counts[static_cast<size_t>(i)])) {
      return end(rollout::v1::ROLLOUT_STATE_HALTED,
                 fmt::format("error_threshold: phase {} has {} failures of {}",
                             document.phases(i).name(),
                             counts[static_cast<size_t>(i)].failed,
                             counts[static_cast<size_t>(i)].total()));
    }
  }
  if (absl::ToUnixSeconds(now) >= document.expires()) {
    return end(rollout::v1::ROLLOUT_STATE_FINISHED, "expired");
  }
  if (open + 1 == document.phases_size()) {
    uint32_t expected = 0;
    uint32_t seen = 0;
    for (int i = 0; i < document.phases_size(); ++i) {
      expected += document.phases(i).expected_devices();
      const rules::OutcomeCount& count = counts[static_cast<size_t>(i)];
      seen += count.total() + count.refused;  // every device has answered
    }
    if (expected > 0 && seen >= expected) {
      return end(rollout::v1::ROLLOUT_STATE_FINISHED, "");
    }
    return SetMessage(row, "");
  }
  const bool approved =
      std::find(row.approved_phases().begin(), row.approved_phases().end(),
                static_cast<uint32_t>(open + 1)) != row.approved_phases().end();
  const rules::GateDecision gate = rules::EvaluateGate(
      document, open, counts[static_cast<size_t>(open)], approved, now);
  switch (gate.answer) {
    case rules::GateAnswer::kWait:
      return SetMessage(row, gate.reason);
    case rules::GateAnswer::kHalt:
      return end(rollout::v1::ROLLOUT_STATE_HALTED, gate.reason);
    case rules::GateAnswer::kOpen:
      return Sign(
          row,
          [&](store::RolloutRow& next) {
            auto* opened = next.mutable_rollout()->mutable_document();
            opened->set_open_phase(document.open_phase() + 1);
            opened->set_opened_at(absl::ToUnixMillis(now));
            next.mutable_rollout()->set_message("");
          },
          nullptr);
  }
  return absl::OkStatus();
}

}  // namespace shoal::server
