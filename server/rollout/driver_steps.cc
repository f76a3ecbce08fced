// The steps of a rollout's life: prepared, published, on through its phases.
#include "server/rollout/driver_steps.h"

#include <set>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "rules/access.h"
#include "rules/outcomes.h"
#include "rules/progress.h"
#include "server/auth/access.h"
#include "server/rollout/driver.h"

namespace shoal::server {
namespace {

// Between two looks at who has not answered: where the numbers say that all
// have, and where they don't.
constexpr absl::Duration kLook = absl::Seconds(30);
constexpr absl::Duration kSlowLook = absl::Minutes(10);

// Empty when none is signed.
absl::StatusOr<release::v1::DeltaIndex> SignedIndex(const Store& store,
                                                    const std::string& target) {
  release::v1::DeltaIndex index;
  const auto row = store.Get<store::DocumentRow>(kDocuments, target);
  if (absl::IsNotFound(row.status())) return index;
  SHOAL_RETURN_IF_ERROR(row);
  if (!index.ParseFromString(row->content()))
    return DataLoss("bad_row", target + " does not parse");
  return index;
}

}  // namespace

std::set<std::string> ApproversOf(const store::RolloutRow& row, uint32_t next,
                                  const policy::v1::AccessPolicy& policy) {
  std::set<std::string> names;
  for (const auto& approval : row.rollout().approvals()) {
    // A signed one is for all phases up to its own.
    const bool is_signed = !approval.signature().empty();
    if (approval.phase() != next && !(approval.phase() > next && is_signed))
      continue;
    const std::string& who = approval.approver();
    const std::string name = who.substr(who.find(':') + 1);
    for (const auto& op : policy.operators()) {
      const auto key = HexDecode(op.public_key());
      if (op.name() != name || !key.ok() ||
          (is_signed && *key != approval.operator_key()) ||
          rules::FindOperatorByKey(policy, *key) == nullptr ||
          // By the rules of today, at the time at which it was given: a window
          // that is over takes nothing back.
          !rules::Evaluate(policy, rules::PrincipalOf(op), "rollout.approve",
                           nullptr,
                           PlaneTime(absl::FromUnixMillis(approval.time())))
               .allowed)
        continue;
      names.insert(name);
    }
  }
  for (const uint32_t phase : row.approved_phases())
    if (phase == next) names.insert("");
  return names;
}

void OpenPhase(store::RolloutRow& row, uint32_t phase, absl::Time now) {
  auto* document = row.mutable_rollout()->mutable_document();
  document->set_open_phase(phase);
  document->set_opened_at(absl::ToUnixMillis(now));
  while (row.phase_opened_at_size() <= static_cast<int>(phase))
    row.add_phase_opened_at(absl::ToUnixMillis(now));
}

absl::Status RolloutDriver::Prepare(const store::RolloutRow& row) {
  SHOAL_ASSIGN_OR_RETURN(const DeltaIndexes indexes,
                         IndexesOf(releases_, deltas_, row));
  const int64_t wait = row.delta_wait_seconds();
  const absl::Duration waited =
      store_.clock().WallNow() -
      absl::FromUnixMillis(row.rollout().created_at());
  const bool enough = wait < 0 || (wait > 0 && waited >= absl::Seconds(wait));
  if (indexes.made < indexes.wanted && !enough) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const auto members, Members(row));
  return Sign(
      row,
      [&](store::RolloutRow& next) {
        auto* rollout = next.mutable_rollout();
        OpenPhase(next, 0, store_.clock().WallNow());
        Admit(next, members, store_.clock().WallNow());
        rollout->mutable_deltas()->set_wanted(indexes.wanted);
        rollout->mutable_deltas()->set_made(indexes.made);
        rollout->mutable_deltas()->set_bytes(indexes.bytes);
        rollout->set_message("publishing");
      },
      &indexes);
}

absl::StatusOr<bool> RolloutDriver::JoinLateDeltas(
    const store::RolloutRow& row) {
  SHOAL_ASSIGN_OR_RETURN(DeltaIndexes indexes,
                         IndexesOf(releases_, deltas_, row));
  // In one go: a version of the document for each delta says too much.
  if (indexes.made < indexes.wanted) return false;
  bool news = false;
  for (auto& [target, index] : indexes.by_target) {
    std::set<std::string> fresh;
    for (const auto& delta : index.deltas()) fresh.insert(delta.sha256());
    SHOAL_ASSIGN_OR_RETURN(const auto before, SignedIndex(store_, target));
    for (const auto& delta : before.deltas()) {
      // What is named stays named while the rollout is at work.
      if (fresh.erase(delta.sha256()) == 0) *index.add_deltas() = delta;
    }
    news |= !fresh.empty();
  }
  if (!news) return false;
  SHOAL_RETURN_IF_ERROR(Sign(
      row,
      [&](store::RolloutRow& next) {
        auto* shown = next.mutable_rollout()->mutable_deltas();
        shown->set_wanted(indexes.wanted);
        shown->set_made(indexes.made);
        shown->set_bytes(indexes.bytes);
      },
      &indexes));
  return true;
}

absl::Status RolloutDriver::AwaitPublication(const store::RolloutRow& row) {
  const auto& document = row.rollout().document();
  SHOAL_ASSIGN_OR_RETURN(bool acknowledged,
                         publisher_.Published(row.barrier()));
  std::vector<std::string> digests = {document.release().sha256()};
  for (const auto& previous : document.previous())
    digests.push_back(previous.sha256());
  // Those of the signed indexes; what is made meanwhile joins later.
  std::vector<std::string> targets = {document.release().delta_index_target()};
  for (const auto& previous : document.previous())
    targets.push_back(previous.delta_index_target());
  for (const std::string& target : targets) {
    if (target.empty()) continue;
    SHOAL_ASSIGN_OR_RETURN(const auto index, SignedIndex(store_, target));
    for (const auto& delta : index.deltas()) digests.push_back(delta.sha256());
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

RolloutDriver::Looks& RolloutDriver::LooksAt(const std::string& rollout) {
  return looks_
      .try_emplace(rollout, Looks{absl::ZeroDuration(),
                                  store_.clock().MonotonicNow() + kSlowLook,
                                  absl::ZeroDuration()})
      .first->second;
}

// Numbers alone would let newcomers end a rollout for those who were there
// before, and keep one open for a device that has left.
absl::StatusOr<bool> RolloutDriver::MayFinish(const store::RolloutRow& row,
                                              bool by_numbers) {
  const auto& document = row.rollout().document();
  if (static_cast<int>(document.open_phase()) + 1 != document.phases_size())
    return false;
  const absl::Duration now = store_.clock().MonotonicNow();
  Looks& looks = LooksAt(document.id());
  absl::Duration& next = by_numbers ? looks.next : looks.next_slow;
  if (now < next) return false;
  SHOAL_ASSIGN_OR_RETURN(const bool all, rollouts_.AllAnswered(row));
  // Of a large fleet a look takes seconds.
  const absl::Duration took = store_.clock().MonotonicNow() - now;
  next = now + std::max(by_numbers ? kLook : kSlowLook, 100 * took);
  return all;
}

absl::StatusOr<rules::PlaneView> RolloutDriver::ViewOf(
    const store::RolloutRow& row) const {
  rules::PlaneView view;
  SHOAL_ASSIGN_OR_RETURN(view.counts, rollouts_.Counts(row));
  view.accepted_failures = {row.accepted_failures().begin(),
                            row.accepted_failures().end()};
  view.approvers = ApproversOf(row, row.rollout().document().open_phase() + 1,
                               trust_.View()->policy);
  view.now = store_.clock().WallNow();
  return view;
}

absl::StatusOr<bool> RolloutDriver::EndIfDue(const store::RolloutRow& row,
                                             const rules::PlaneView& view) {
  using rollout::v1::ROLLOUT_STATE_FINISHED;
  const auto& document = row.rollout().document();
  SHOAL_ASSIGN_OR_RETURN(const std::string newer, rollouts_.SupersededBy(row));
  if (!newer.empty()) {
    SHOAL_RETURN_IF_ERROR(
        End(row, ROLLOUT_STATE_FINISHED, "superseded by " + newer));
    return true;
  }
  rules::PlaneStep step;
  if (row.rollout().state() != rollout::v1::ROLLOUT_STATE_PAUSED) {
    step = rules::NextStep(document, view);
  } else if (view.now >= absl::FromUnixSeconds(document.expires())) {
    step = {rules::PlaneStep::Kind::kFinish, "expired"};
  }
  if (step.kind == rules::PlaneStep::Kind::kHalt) {
    SHOAL_RETURN_IF_ERROR(
        End(row, rollout::v1::ROLLOUT_STATE_HALTED, step.message));
    return true;
  }
  if (step.kind == rules::PlaneStep::Kind::kFinish && !step.message.empty()) {
    SHOAL_RETURN_IF_ERROR(End(row, ROLLOUT_STATE_FINISHED, step.message));
    return true;
  }
  return false;
}

absl::Status RolloutDriver::Advance(const store::RolloutRow& row,
                                    rules::PlaneView view) {
  const auto& document = row.rollout().document();
  const absl::Time now = view.now;
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
  // What ends it was looked at before, by the same view.
  if (step.kind == rules::PlaneStep::Kind::kOpenNext) {
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
  SHOAL_ASSIGN_OR_RETURN(
      const bool finished,
      MayFinish(row, step.kind == rules::PlaneStep::Kind::kFinish));
  if (finished) return End(row, rollout::v1::ROLLOUT_STATE_FINISHED, "");
  SHOAL_ASSIGN_OR_RETURN(const bool joined, JoinLateDeltas(row));
  if (joined) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const bool admitted, AdmitMore(row));
  return admitted ? absl::OkStatus() : SetMessage(row, step.message);
}

}  // namespace shoal::server
