#include "agent/engine/engine.h"

#include <fmt/format.h>

#include "agent/install/image_file.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::agent {

bool Engine::DiskTrouble(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return reason == "disk_full" || reason.rfind("io_", 0) == 0;
}

int64_t Engine::NowMs() const {
  return absl::ToUnixMillis(o_.clock->WallNow());
}

const ArtifactSource& Engine::SourceOf(const UpdateRecord& update) const {
  return update.delta ? update.delta->artifact : update.full;
}

std::string Engine::PathOf(const ArtifactSource& source) const {
  if (!source.local_path.empty()) return source.local_path;
  return JoinPath(o_.download_directory, HexEncode(source.sha256));
}

Engine::Answer Engine::Failure(const absl::Status& status) const {
  Answer answer;
  answer.event = Event::kFailed;
  answer.note = [reason = ReasonOf(status),
                 message = std::string(status.message())](StateData&,
                                                          UpdateRecord& u) {
    u.result = UpdateResult::kFailed;
    u.reason = reason;
    u.message = message.substr(0, kMaxOutcomeText);
  };
  return answer;
}

Engine::Answer Engine::DeltaUnusable(const absl::Status& status) const {
  LogWarn("delta_unusable", {{"error", status}});
  Answer answer;
  answer.event = Event::kDeltaUnusable;
  answer.note = [reason = ReasonOf(status)](StateData&, UpdateRecord& u) {
    u.delta.reset();
    u.delta_failure = reason;
    u.resume_state.clear();
  };
  return answer;
}

Engine::Answer Engine::FellBack(const UpdateRecord&, std::string_view reason,
                                std::string_view message) const {
  Answer answer;
  answer.event = Event::kFellBack;
  answer.note = [reason = std::string(reason), message = std::string(message)](
                    StateData&, UpdateRecord& u) {
    u.result = UpdateResult::kRolledBack;
    // The health check's verdict, if there was one, says more.
    if (u.reason.empty()) {
      u.reason = reason;
      u.message = message;
    }
  };
  return answer;
}

absl::Status Engine::Begin(UpdateRecord record) {
  if (o_.state->Get().update)
    return FailedPrecondition("busy", "another update is in hand");
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, o_.slots->Running());
  if (!record.components.empty() && !o_.component)
    return FailedPrecondition("unknown_component",
                              "this program installs no components");
  record.target_slot = running.slot;
  if (!record.image_runs) {
    SHOAL_ASSIGN_OR_RETURN(record.target_slot, o_.slots->InactiveSlot());
  }
  record.state = *NextState(UpdateState::kIdle, Event::kBegin);
  record.from = running.info;
  record.started_ms = NowMs();
  LogInfo("update_begins", {{"rollout", record.rollout_id},
                            {"from", running.info.version},
                            {"to", record.image.version},
                            {"attempt", record.attempt},
                            {"delta", record.delta.has_value()},
                            {"components", record.components.size()}});
  return o_.state->Change([&](StateData& d) {
    RolloutMemory& memory = d.rollouts[record.rollout_id];
    memory.phase = static_cast<int>(record.phase);
    memory.attempts = record.attempt;
    memory.last_attempt_ms = record.started_ms;
    memory.ran_before = running.info.sha256;
    std::erase_if(d.starts_ms, [&](int64_t ms) {
      return ms < record.started_ms - 86'400'000;
    });
    d.starts_ms.push_back(record.started_ms);
    d.update = record;
  });
}

absl::Status Engine::BeginReport(UpdateRecord record) {
  if (o_.state->Get().update)
    return FailedPrecondition("busy", "another update is in hand");
  record.state = UpdateState::kReporting;
  record.result = UpdateResult::kSuccess;
  record.reason = "ok";
  record.message = "the image ran already";
  record.from = record.image;
  record.started_ms = NowMs();
  return o_.state->Change([&](StateData& d) {
    d.floor = std::max(d.floor, record.image.min_counter);
    RolloutMemory& memory = d.rollouts[record.rollout_id];
    if (memory.attempts == 0) memory.phase = static_cast<int>(record.phase);
    memory.finished = true;
    d.update = record;
  });
}

void Engine::Withdraw(const std::string& rollout_id,
                      const std::string& reason) {
  std::lock_guard lock(withdraw_mutex_);
  if (withdraw_rollout_ == rollout_id) return;
  withdraw_rollout_ = rollout_id;
  withdraw_reason_ = reason;
  cancel_ = true;  // ends a fetch or a patch
}

std::optional<Engine::Answer> Engine::Withdrawn(const UpdateRecord& update) {
  std::lock_guard lock(withdraw_mutex_);
  if (withdraw_rollout_.empty()) return std::nullopt;
  const bool its_own = withdraw_rollout_ == update.rollout_id;
  const bool early = NextState(update.state, Event::kWithdrawn).has_value();
  withdraw_rollout_.clear();
  cancel_ = cancelled_.load();
  if (!its_own || !early) return std::nullopt;
  Answer answer;
  answer.event = Event::kWithdrawn;
  answer.note = [reason = withdraw_reason_](StateData& d, UpdateRecord& u) {
    u.result = UpdateResult::kRefused;
    u.reason = reason;
    u.message = "given up before the new image ran";
    // It was no try of the device's.
    RolloutMemory& memory = d.rollouts[u.rollout_id];
    if (memory.attempts > 0) --memory.attempts;
  };
  return answer;
}

absl::StatusOr<Engine::Next> Engine::Run() {
  for (;;) {
    SHOAL_ASSIGN_OR_RETURN(const Next next, Step());
    if (next != Next::kAgain) return next;
  }
}

absl::StatusOr<Engine::Next> Engine::Step() {
  const StateData before = o_.state->Get();
  if (!before.update) return Next::kIdle;
  const UpdateRecord& update = *before.update;
  std::optional<Answer> withdrawn = Withdrawn(update);
  if (!withdrawn) {
    SHOAL_ASSIGN_OR_RETURN(withdrawn, Act(update));
  }
  const Answer& answer = *withdrawn;
  if (!answer.event) return answer.next;
  const auto to = NextState(update.state, *answer.event);
  if (!to)
    return Internal(
        "bad_transition",
        fmt::format("no row for {} in state {}", EventName(*answer.event),
                    UpdateStateName(update.state)));
  SHOAL_RETURN_IF_ERROR(o_.state->Change([&](StateData& d) {
    if (answer.note) answer.note(d, *d.update);
    d.update->state = *to;
    if (*to == UpdateState::kIdle) {
      ++d.tally.updates[std::string(UpdateResultName(d.update->result))];
      d.tally.bytes_from_peers += d.update->bytes_from_peers;
      d.tally.bytes_from_origin += d.update->bytes_from_origin;
      d.last_update = *d.update;
      d.update.reset();
    }
  }));
  LogInfo("update_state", {{"rollout", update.rollout_id},
                           {"from", UpdateStateName(update.state)},
                           {"event", EventName(*answer.event)},
                           {"to", UpdateStateName(*to)}});
  return Next::kAgain;
}

absl::StatusOr<Engine::Answer> Engine::Act(const UpdateRecord& update) {
  switch (update.state) {
    case UpdateState::kFetching:
      return Fetch(update);
    case UpdateState::kInstalling:
      return Install(update);
    case UpdateState::kVerifying:
      return Verify(update);
    case UpdateState::kReady:
      return Ready(update);
    case UpdateState::kRebooting:
      return Reboot(update);
    case UpdateState::kComponents:
      return InstallComponents(update);
    case UpdateState::kChecking:
      return Check(update);
    case UpdateState::kCommitting:
      return Commit(update);
    case UpdateState::kRollingBack:
      return RollBack(update);
    case UpdateState::kFailed:
      return Fail(update);
    case UpdateState::kReporting:
      return Report(update);
    case UpdateState::kIdle:
      break;
  }
  return Internal("bad_transition", "an update in state idle");
}

absl::StatusOr<Engine::Answer> Engine::Ready(const UpdateRecord&) {
  if (o_.may_restart && !o_.may_restart()) return Answer{};
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, o_.slots->Running());
  Answer answer;
  answer.event = Event::kDone;
  answer.note = [boots = running.boot_count](StateData&, UpdateRecord& u) {
    u.boot_count = boots;
  };
  return answer;
}

absl::StatusOr<Engine::Answer> Engine::Reboot(const UpdateRecord& update) {
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, o_.slots->Running());
  if (running.slot == update.target_slot)
    return Answer{.event = Event::kDone, .next = Next::kWait, .note = {}};
  SHOAL_ASSIGN_OR_RETURN(const SlotHandler::Mark mark,
                         o_.slots->MarkOf(update.target_slot));
  if (mark == SlotHandler::Mark::kFellBack)
    return FellBack(update, "boot_failed",
                    "the new image did not boot; the loader took the old one");
  if (mark == SlotHandler::Mark::kNone) {
    // T33: long may have passed since kVerifying.
    SHOAL_ASSIGN_OR_RETURN(const std::string slot,
                           o_.slots->PathOf(update.target_slot));
    const absl::Status status =
        VerifyFile(slot, update.image.length, update.image.sha256);
    if (!status.ok()) return Failure(status);
    SHOAL_RETURN_IF_ERROR(o_.slots->MarkBootable(update.target_slot,
                                                 update.image, o_.boot_tries));
  }
  return Answer{.event = std::nullopt, .next = Next::kReboot, .note = {}};
}

absl::StatusOr<Engine::Answer> Engine::Check(const UpdateRecord& update) {
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, o_.slots->Running());
  if (running.slot != update.target_slot)
    return FellBack(update, "boot_failed",
                    "the new image was reset before its health was known");
  HealthResult health;
  const absl::Status digest =
      VerifyFile(running.path, update.image.length, update.image.sha256);
  std::string reason = "health_failed";
  if (digest.ok()) {
    health = o_.health(running);
  } else if (DiskTrouble(digest)) {
    return digest;
  } else {
    reason = ReasonOf(digest);
    health.output = std::string(digest.message());
  }
  Answer answer;
  answer.event = health.healthy ? Event::kDone : Event::kSick;
  answer.note = [health, reason](StateData&, UpdateRecord& u) {
    u.health_output = health.output;
    if (health.healthy) return;
    u.reason = reason;
    u.message = "the health check of the new image failed";
  };
  return answer;
}

absl::StatusOr<Engine::Answer> Engine::Commit(const UpdateRecord& update) {
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, o_.slots->Running());
  if (running.slot != update.target_slot)
    return FellBack(update, "boot_failed",
                    "the new image was reset before it was committed");
  SHOAL_RETURN_IF_ERROR(o_.slots->Commit());
  CommitComponents(update);
  Answer answer;
  answer.event = Event::kDone;
  answer.note = [](StateData& d, UpdateRecord& u) {
    u.result = UpdateResult::kSuccess;
    u.reason = "ok";
    d.floor = std::max(d.floor, u.image.min_counter);
    d.rollouts[u.rollout_id].finished = true;
  };
  return answer;
}

absl::StatusOr<Engine::Answer> Engine::RollBack(const UpdateRecord& update) {
  SHOAL_ASSIGN_OR_RETURN(const std::string left, UndoComponents(update));
  if (!left.empty())
    SHOAL_RETURN_IF_ERROR(o_.state->Change([&](StateData& d) {
      UpdateRecord& u = *d.update;
      u.message = fmt::format("{}; not brought back: {}", u.message, left)
                      .substr(0, kMaxOutcomeText);
    }));
  if (update.image_runs) return FellBack(update, "health_failed", "");
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, o_.slots->Running());
  SHOAL_RETURN_IF_ERROR(o_.slots->Rollback());
  if (running.slot == update.target_slot)
    return Answer{.event = std::nullopt, .next = Next::kReboot, .note = {}};
  return FellBack(update, "health_failed", "");
}

absl::StatusOr<Engine::Answer> Engine::Fail(const UpdateRecord& update) {
  // No half-written image may ever look like one. Its bytes are overwritten by
  // the next try.
  if (!update.image_runs)
    SHOAL_RETURN_IF_ERROR(o_.slots->Invalidate(update.target_slot));
  return Answer{.event = Event::kDone, .next = Next::kWait, .note = {}};
}

absl::StatusOr<Engine::Answer> Engine::Report(const UpdateRecord& update) {
  UpdateRecord final_record = update;
  if (final_record.outcome_counter == 0) {
    // The number is durable before anything is signed with it (T27), and
    // stays the same when the report is repeated after power loss.
    SHOAL_RETURN_IF_ERROR(o_.state->Change([&](StateData& d) {
      d.update->outcome_counter = ++d.outcome_counter;
      d.update->finished_ms = NowMs();
      final_record = *d.update;
    }));
  }
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, o_.slots->Running());
  SHOAL_RETURN_IF_ERROR(o_.report(final_record, running));
  LogInfo("update_ends",
          {{"rollout", final_record.rollout_id},
           {"result",
            final_record.result == UpdateResult::kSuccess      ? "success"
            : final_record.result == UpdateResult::kRolledBack ? "rolled_back"
            : final_record.result == UpdateResult::kRefused    ? "refused"
                                                               : "failed"},
           {"reason", final_record.reason},
           {"version", running.info.version}});
  return Answer{.event = Event::kDone, .next = Next::kWait, .note = {}};
}

}  // namespace shoal::agent
