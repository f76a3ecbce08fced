#include "server/rollout/driver.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "common/log.h"
#include "fmt/format.h"
#include "server/rollout/plan.h"

namespace shoal::server {
namespace {

// How long a plane that starts waits for nodes that do not answer.
constexpr absl::Duration kInformedPause = absl::Seconds(15);
// Between two steps, by what the last one took.
constexpr int kPauseFactor = 4;
constexpr absl::Duration kShortestPause = absl::Milliseconds(5);
constexpr absl::Duration kLongestPause = absl::Milliseconds(250);

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
      const absl::Duration began = store_.clock().MonotonicNow();
      const absl::Status status = Step();
      if (!status.ok()) LogError("rollouts_failed", {{"error", status}});
      const absl::Duration took = store_.clock().MonotonicNow() - began;
      // Gates also open by time, mirrors are asked for.
      store_.WaitForChange(seen, absl::Milliseconds(500));
      // While outcomes come in there is a change every few milliseconds, and
      // each step reads every rollout at work.
      absl::SleepFor(
          std::clamp(kPauseFactor * took, kShortestPause, kLongestPause));
    }
  });
}

void RolloutDriver::Stop() {
  if (thread_.joinable()) thread_.join();
}

absl::Status RolloutDriver::Step() {
  SHOAL_ASSIGN_OR_RETURN(auto rows, rollouts_.Live());
  std::erase_if(looks_, [&](const auto& one) {
    return std::none_of(rows.begin(), rows.end(), [&](const auto& row) {
      return row.rollout().document().id() == one.first;
    });
  });
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
  SHOAL_ASSIGN_OR_RETURN(rules::PlaneView view, ViewOf(row));
  // From the signature on devices start, before storage nodes hold the bytes.
  SHOAL_ASSIGN_OR_RETURN(const bool ended, EndIfDue(row, view));
  if (ended) return absl::OkStatus();
  if (!row.document_signed()) return Prepare(row);
  if (state == rollout::v1::ROLLOUT_STATE_PREPARING) {
    return AwaitPublication(row);
  }
  if (state == rollout::v1::ROLLOUT_STATE_PAUSED) return absl::OkStatus();
  return Advance(row, std::move(view));
}

absl::Status RolloutDriver::End(const store::RolloutRow& row,
                                rollout::v1::RolloutState state,
                                const std::string& message) {
  const auto end = [&](store::RolloutRow& next) {
    auto* rollout = next.mutable_rollout();
    rollout->set_state(state);
    rollout->set_message(message);
    rollout->set_finished_at(absl::ToUnixMillis(store_.clock().WallNow()));
    rollout->mutable_document()->set_state(state);
  };
  // Of what no device has seen none need hear that it is over.
  return row.document_signed() ? Sign(row, end, nullptr) : Change(row, end);
}

absl::Status RolloutDriver::Sign(const store::RolloutRow& seen,
                                 std::function<void(store::RolloutRow&)> change,
                                 const DeltaIndexes* indexes) {
  const std::string key = seen.rollout().document().id();
  store::RolloutRow next = seen;
  change(next);
  auto* document = next.mutable_rollout()->mutable_document();
  if (seen.document_signed()) document->set_version(document->version() + 1);
  next.set_resign(false);
  RepositoryChange repository;
  if (indexes != nullptr) {
    const auto name = [&](rollout::v1::ReleaseRef* release) {
      const std::string target =
          DeltaIndexTarget(document->device_type(), release->version());
      const auto index = indexes->by_target.find(target);
      if (index == indexes->by_target.end()) return;
      release->set_delta_index_target(target);
      repository.put[target] = index->second.SerializeAsString();
    };
    name(document->mutable_release());
    for (auto& previous : *document->mutable_previous()) name(&previous);
    next.set_indexed_deltas(indexes->deltas());
  }
  if (IsFinal(document->state()) &&
      !rules::CheckDocumentSize(*document, 0).ok()) {
    // Of an older plane, which did not look: the end must reach devices.
    document->clear_approvals();
    document->clear_lifted_halts();
  }
  // Whatever made it grow: devices would read no document of their type.
  SHOAL_RETURN_IF_ERROR(rules::CheckDocumentSize(*document, 0));
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
          // A halt or an order came in between: look again.
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

}  // namespace shoal::server
