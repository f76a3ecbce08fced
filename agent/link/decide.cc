#include "agent/link/decide.h"

#include <algorithm>
#include <set>

#include "agent/engine/candidate.h"
#include "agent/engine/halts.h"
#include "agent/engine/offline_install.h"
#include "agent/link/requests.h"
#include "common/log.h"
#include "common/status.h"
#include "rules/approval.h"
#include "rules/outcome_shard.h"
#include "rules/way_back.h"

namespace shoal::agent {
namespace {

// A gate that needs outcomes is looked at again at most this often.
constexpr absl::Duration kSamplePause = absl::Seconds(5);

absl::Status Wait(const std::string& reason, std::string_view message = "") {
  return Unavailable(reason, message);
}

}  // namespace

void Decider::Watch(const UpdateRecord& update, const StateData& state) {
  if (update.rollout_id == kOfflineRollout) {
    may_activate_ = true;
    return;
  }
  // From the restart on it goes its way: the new image may run already.
  if (!NextState(update.state, Event::kWithdrawn)) return;
  const auto& entries = link_->rollouts();
  const auto own = std::find_if(
      entries.begin(), entries.end(), [&](const RolloutEntry& entry) {
        return entry.document.id() == update.rollout_id;
      });
  const absl::Time now = link_->Now();
  const RolloutEntry* newest = Newest();
  const bool newer = newest != nullptr &&
                     newest->document.id() != update.rollout_id &&
                     (own == entries.end() ||
                      newest->document.order() > own->document.order());
  if (newer && Spoiled(*newest) == nullptr &&
      newest->document.state() == rollout::v1::ROLLOUT_STATE_ACTIVE &&
      !rules::IsOver(newest->document, now) &&
      !rules::LeadsTo(newest->document, update.image.sha256)) {
    may_activate_ = false;
    engine_->Withdraw(update.rollout_id, "superseded");
    return;
  }
  if (own == entries.end()) {
    // Not to be read just now, or gone: nothing starts on a guess.
    may_activate_ = false;
    waiting_ = "rollout_unknown";
    return;
  }
  if (rules::IsOver(own->document, now)) {
    may_activate_ = false;
    engine_->Withdraw(update.rollout_id, "withdrawn");
    return;
  }
  // What a spoiled document says counts for nothing, not even that another one
  // holds beside it.
  const std::string* spoiled = Spoiled(*own);
  if (spoiled == nullptr && newer) spoiled = Spoiled(*newest);
  if (spoiled != nullptr) {
    may_activate_ = false;
    waiting_ = *spoiled;
    return;
  }
  const rules::StartDecision decision =
      rules::MayActivate(own->document, InputFor(own->document, state));
  may_activate_ = decision.start;
  if (!decision.start) waiting_ = decision.reason;
}

bool Decider::Decide(const RunningImage& running) {
  waiting_.clear();
  running_ = &running;
  const bool noted = NoteAll();
  if (!noted) waiting_ = "state_not_saved";
  const StateData state = state_->Get();
  if (state.update) {
    Watch(*state.update, state);
    return false;
  }
  if (!noted) return false;
  const RolloutEntry* entry = Newest();
  if (entry == nullptr) return false;
  // It was the word that counts; an older rollout's does not instead.
  if (const std::string* reason = Spoiled(*entry)) {
    waiting_ = *reason;
    return false;
  }
  bool began = false;
  const absl::Status status = Consider(*entry, running, &began);
  if (status.ok()) return began;
  waiting_ = ReasonOf(status);
  // Waiting is no refusal.
  if (!absl::IsUnavailable(status)) Refuse(*entry, status);
  return false;
}

rules::StartInput Decider::InputFor(
    const rollout::v1::RolloutDocument& document,
    const StateData& state) const {
  rules::StartInput input;
  input.device = link_->AssignedFacts();
  input.fleet_id = link_->out().membership().fleet_id;
  input.now = link_->Now();
  input.local = LocalTimeAt(input.now);
  input.halted = IsHalted(state, document, [this](const std::string& key) {
    return link_->IsOperator(key);
  });
  input.running_sha256 = running_->info.sha256;
  input.metered = config_->metered;
  input.consented = HasConsent(*fs_, *config_, document.id());
  input.postponed_until = PostponedUntil(*fs_, *config_, document.id());
  if (const auto it = state.rollouts.find(document.id());
      it != state.rollouts.end()) {
    input.attempts.count = it->second.attempts;
    input.attempts.last = absl::FromUnixMillis(it->second.last_attempt_ms);
    input.began_in = it->second.BeganIn();
  }
  return input;
}

absl::Status Decider::NoteEnough(const rollout::v1::RolloutDocument& document,
                                 absl::Time now,
                                 std::vector<rules::OutcomeCount>& samples) {
  const RolloutMemory before = state_->Get().rollouts[document.id()];
  RolloutMemory memory = before;
  for (size_t i = 0; i < samples.size(); ++i) {
    const int phase = static_cast<int>(i);
    const std::string key = std::to_string(i);
    if (document.phases(phase).gate().settle_ms() == 0) continue;
    if (!rules::GoodSample(document, phase, samples[i])) {
      memory.enough_since_ms.erase(key);
      continue;
    }
    int64_t& since = memory.enough_since_ms[key];
    // A clock that went back: the time before can't be measured.
    if (since == 0 || absl::FromUnixMillis(since) > now)
      since = absl::ToUnixMillis(now);
    samples[i].enough_since = absl::FromUnixMillis(since);
  }
  if (memory.enough_since_ms == before.enough_since_ms) return absl::OkStatus();
  return state_->Change([&](StateData& d) {
    d.rollouts[document.id()].enough_since_ms = memory.enough_since_ms;
  });
}

absl::StatusOr<rules::StartDecision> Decider::Turn(const RolloutEntry& entry,
                                                   const StateData& state) {
  const rollout::v1::RolloutDocument& document = entry.document;
  rules::StartInput input = InputFor(document, state);
  rules::StartDecision decision = rules::MayStart(document, input);
  // Behind a time gate that the plane has not opened: without a plane the
  // outcomes of the phases before decide (T29).
  if (decision.reason == "phase_closed" && document.unattended() &&
      decision.phase > static_cast<int>(document.open_phase()) &&
      input.now - absl::FromUnixMillis(document.opened_at()) >=
          absl::Milliseconds(
              document.phases(static_cast<int>(document.open_phase()))
                  .gate()
                  .soak_ms()) &&
      (input.now - last_sample_ >= kSamplePause || input.now < last_sample_)) {
    last_sample_ = input.now;
    input.samples = link_->ReadSamples(document, decision.phase - 1);
    SHOAL_RETURN_IF_ERROR(NoteEnough(document, input.now, input.samples));
    decision = rules::MayStart(document, input);
    if (decision.start)
      LogInfo("gate_opened_unattended",
              {{"rollout", document.id()}, {"phase", decision.phase}});
  }
  return decision;
}

absl::Status Decider::CheckPolicy(const rollout::v1::RolloutDocument& document,
                                  int phase) const {
  const std::shared_ptr<const TrustView> trust = link_->trust();
  if (!trust) return PermissionDenied("policy_denied", "no policy is known");
  const std::string& device_id = link_->out().membership().device_id();
  const rules::DeviceFacts facts =
      rules::FactsFromPolicy(trust->policy, device_id, config_->device_type);
  rules::Principal director;
  director.director = true;
  const rules::Decision decision =
      rules::Evaluate(trust->policy, director, "update.install", &facts,
                      LocalTimeAt(link_->Now()));
  if (!decision.allowed)
    return PermissionDenied("policy_denied", decision.explanation);
  if (decision.needs_consent && !HasConsent(*fs_, *config_, document.id()))
    return Wait("needs_consent");
  // T20: what the plane says of approvals counts for nothing here.
  if (decision.approvals > 0 &&
      rules::SignedApprovers(document, static_cast<uint32_t>(phase),
                             trust->policy)
              .size() < decision.approvals)
    return Wait("approvals_missing");
  return absl::OkStatus();
}

absl::Status Decider::Consider(const RolloutEntry& entry,
                               const RunningImage& running, bool* began) {
  const rollout::v1::RolloutDocument& document = entry.document;
  const StateData state = state_->Get();
  const auto memory = state.rollouts.find(document.id());
  if (memory != state.rollouts.end() && memory->second.finished)
    return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(link_->CheckFresh());
  SHOAL_ASSIGN_OR_RETURN(const rules::StartDecision turn, Turn(entry, state));
  if (!turn.start) {
    if (turn.reason == "wrong_fleet" || turn.reason == "wrong_device_type")
      return FailedPrecondition(turn.reason, "rollout " + document.id());
    return Wait(turn.reason);
  }
  // One that leads back: to what ran here before, where it names that.
  rollout::v1::RolloutDocument led = document;
  const auto before = state.rollouts.find(document.leads_back_from());
  *led.mutable_release() = rules::ReleaseFor(
      document, before == state.rollouts.end() ? "" : before->second.ran_before,
      state.floor);
  const rules::DeviceParts parts = components_->Parts();
  SHOAL_ASSIGN_OR_RETURN(const FleetLink::SignedRelease release,
                         link_->ReleaseOf(led, parts));
  const SignedImage& image = release.image;
  SHOAL_RETURN_IF_ERROR(CheckRollout(
      led, image, link_->out().membership().fleet_id, config_->device_type));
  SHOAL_RETURN_IF_ERROR(CheckImage(image, config_->device_type, state.floor));
  SHOAL_RETURN_IF_ERROR(CheckFit(image, release.components, parts));
  SHOAL_RETURN_IF_ERROR(CheckPolicy(document, turn.phase));
  const auto finish = [&](UpdateRecord& update) {
    update.rollout_id = document.id();
    update.rollout_version = document.version();
    update.phase = static_cast<uint32_t>(turn.phase);
    update.outcome_shard = std::to_string(
        dht::OutcomeShardOf(link_->out().membership().device_id(),
                            rules::OutcomeShards(document, turn.phase)));
    update.attempt =
        memory == state.rollouts.end() ? 1 : memory->second.attempts + 1;
    update.max_attempts = rules::MaxAttempts(document);
    const uint64_t limit = document.bandwidth().max_bytes_per_second();
    update.full.max_bytes_per_second = limit;
    if (update.delta) update.delta->artifact.max_bytes_per_second = limit;
    AddComponents(release.components, update);
    for (ComponentUpdate& component : update.components)
      component.source.max_bytes_per_second = limit;
    may_activate_ =
        rules::MayActivate(document, InputFor(document, state)).start;
  };
  const bool image_runs = running.info.sha256 == image.target.sha256;
  if (image_runs && release.components.empty()) {
    UpdateRecord update = MakeUpdate(image, nullptr, running.info, *deltas_);
    finish(update);
    *began = true;
    return engine_->BeginReport(update);
  }
  const Pace pace{
      .in_window = InWindows(config_->windows, LocalTimeAt(link_->Now())),
      .min_interval = config_->min_interval,
      .max_starts_per_day = config_->max_starts_per_day};
  if (const absl::Status own = CheckPace(state, pace, link_->Now()); !own.ok())
    return Wait(ReasonOf(own));
  const std::unique_ptr<release::v1::DeltaIndex> index =
      image_runs ? nullptr : link_->DeltaIndexOf(led);
  UpdateRecord update = MakeUpdate(image, index.get(), running.info, *deltas_);
  update.image_runs = image_runs;
  finish(update);
  *began = true;
  refused_.Forget();
  return engine_->Begin(update);
}

}  // namespace shoal::agent
