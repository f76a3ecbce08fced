// Which rollout counts on this device: what is noted of every document, which
// of them are refused, and the newest that is left.
#include <algorithm>
#include <set>

#include "agent/engine/candidate.h"
#include "agent/link/decide.h"
#include "agent/link/requests.h"
#include "common/log.h"
#include "common/status.h"
#include "rules/outcome_shard.h"
#include "rules/way_back.h"

namespace shoal::agent {

void Decider::Refuse(const RolloutEntry& entry, const absl::Status& status) {
  if (!refused_.First(entry.document.id() + "/" + ReasonOf(status))) return;
  NoteRefusal(*state_, *link_->out().clock(), "update", status);
  const absl::Status reported = ReportRefusal(entry.document, status);
  if (!reported.ok()) LogWarn("refusal_unreported", {{"error", reported}});
}

absl::Status Decider::ReportRefusal(
    const rollout::v1::RolloutDocument& document, const absl::Status& why) {
  const std::string reason = ReasonOf(why);
  // Metadata that ran out says nothing of this rollout.
  if (reason == "expired_metadata" || reason == "log_fork")
    return absl::OkStatus();
  const std::string& id = document.id();
  const int phase = rules::PhaseFor(document, link_->AssignedFacts(),
                                    state_->Get().rollouts[id].BeganIn());
  if (phase < 0) return absl::OkStatus();
  UpdateRecord update;
  bool told = false;
  // The number is durable before anything is signed with it (T27). What was
  // installed once is not called refused afterwards.
  SHOAL_RETURN_IF_ERROR(state_->Change([&](StateData& d) {
    const RolloutMemory& memory = d.rollouts[id];
    told = memory.finished || memory.refusals.contains(reason);
    if (!told) update.outcome_counter = ++d.outcome_counter;
  }));
  if (told) return absl::OkStatus();
  update.rollout_id = id;
  update.rollout_version = document.version();
  update.phase = static_cast<uint32_t>(phase);
  update.outcome_shard = std::to_string(
      dht::OutcomeShardOf(link_->out().membership().device_id(),
                          rules::OutcomeShards(document, phase)));
  update.result = UpdateResult::kRefused;
  update.reason = reason;
  update.message = std::string(why.message());
  update.started_ms = update.finished_ms =
      absl::ToUnixMillis(link_->out().clock()->WallNow());
  SHOAL_RETURN_IF_ERROR(link_->spool().Add(
      MakeOutcomeRecord(link_->out(), link_->places(), update, *running_)));
  return state_->Change(
      [&](StateData& d) { d.rollouts[id].refusals.insert(reason); });
}

// A document at this type's place that is for another type or fleet: only a
// director that is not to be trusted signs such a thing. Told once.
bool Decider::IsForeign(const RolloutEntry& entry) {
  const rollout::v1::RolloutDocument& document = entry.document;
  absl::Status status;
  if (document.fleet() != link_->out().membership().fleet_id)
    status = PermissionDenied(
        "wrong_fleet", "rollout " + document.id() + " is another fleet's");
  else if (document.device_type() != config_->device_type)
    status = FailedPrecondition(
        "wrong_device_type",
        "rollout " + document.id() + " is for a " + document.device_type());
  if (status.ok()) return false;
  if (foreign_.First(entry.digest))
    NoteRefusal(*state_, *link_->out().clock(), "update", status);
  return true;
}

bool Decider::NoteAll() {
  // All documents are noted, also those that are not for this device now:
  // versions only grow (T22). A bad one stops its own rollout and no other: a
  // fix may be on its way in another.
  spoiled_.clear();
  std::set<std::string> named;
  for (const RolloutEntry& entry : link_->rollouts())
    named.insert(entry.document.id());
  const auto trust = link_->trust();
  const auto forget = [&](StateData& d) {
    const bool directors =
        trust && ForgetPastDirectors(trust->trust.director_keys, d);
    return ForgetPastRollouts(named, d) || directors;
  };
  StateData now = state_->Get();
  if (forget(now)) {
    const absl::Status saved =
        state_->Change([&](StateData& d) { (void)forget(d); });
    if (!saved.ok()) {
      LogError("state_not_saved", {{"error", saved}});
      return false;
    }
  }
  for (const RolloutEntry& entry : link_->rollouts()) {
    const std::string& id = entry.document.id();
    StateData state = state_->Get();
    RolloutMemory memory = state.rollouts[id];
    bool changed = false;
    const absl::Status noted =
        NoteRollout(entry.document, entry.digest, memory, &changed);
    if (changed) {
      const absl::Status saved =
          state_->Change([&](StateData& d) { d.rollouts[id] = memory; });
      if (!saved.ok()) {
        LogError("state_not_saved", {{"error", saved}});
        return false;
      }
    }
    if (!noted.ok()) {
      spoiled_[id] = ReasonOf(noted);
      Refuse(entry, noted);
    } else if (memory.conflict) {
      // The first of the two is back: which one others got is not known.
      spoiled_[id] = "conflicting_rollout";
    }
  }
  return true;
}

const std::string* Decider::Spoiled(const RolloutEntry& entry) const {
  const auto it = spoiled_.find(entry.document.id());
  return it == spoiled_.end() ? nullptr : &it->second;
}

uint64_t Decider::NewestTaken(const StateData& state) {
  uint64_t known = 0;
  for (const RolloutEntry& entry : link_->rollouts())
    if (!IsForeign(entry)) known = std::max(known, entry.document.order());
  uint64_t taken = 0;
  for (const auto& [id, memory] : state.rollouts) {
    if (memory.finished && memory.order <= known)
      taken = std::max(taken, memory.order);
  }
  return taken;
}

const RolloutEntry* Decider::Newest() {
  const rules::DeviceFacts facts = link_->AssignedFacts();
  const std::string& running = running_->info.sha256;
  StateData state = state_->Get();
  const uint64_t taken = NewestTaken(state);
  const RolloutEntry* ended = nullptr;
  bool runs_ended = false;
  for (const RolloutEntry& entry : link_->rollouts()) {
    const rollout::v1::RolloutDocument& document = entry.document;
    // The newest rollout that selects this device is the one that counts;
    // an older one must not move it back.
    if (IsForeign(entry)) continue;
    if (document.order() < taken) break;
    const RolloutMemory& memory = state.rollouts[document.id()];
    if (rules::PhaseFor(document, facts, memory.BeganIn()) < 0) continue;
    // One that leads back from an image that does not run here says nothing.
    const std::string& only = document.only_running_sha256();
    if (!only.empty() && only != running && !memory.finished) continue;
    // Nor does one that ended before this device took it, but that its image is
    // not to be left for an older one.
    if (!memory.finished && Spoiled(entry) == nullptr &&
        rules::IsOver(document, link_->Now())) {
      if (ended == nullptr) ended = &entry;
      runs_ended |= rules::LeadsTo(document, running);
      continue;
    }
    if (runs_ended && !rules::LeadsTo(document, running)) continue;
    return &entry;
  }
  return ended;
}

}  // namespace shoal::agent
