// The states of an update in which its bytes move: from a source into the other
// slot.
#include <fmt/format.h>

#include "agent/engine/engine.h"
#include "agent/install/image_file.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

bool Cancelled(const absl::Status& status) {
  return status.code() == absl::StatusCode::kCancelled;
}

}  // namespace

absl::StatusOr<Engine::Answer> Engine::Fetch(const UpdateRecord& update) {
  SHOAL_RETURN_IF_ERROR(o_.fs->MakeDirectories(o_.download_directory));
  FetchStats stats;
  const auto add = [&](const FetchStats& more) {
    stats.bytes_from_peers += more.bytes_from_peers;
    stats.bytes_from_origin += more.bytes_from_origin;
  };
  // Components first: without one of them the image is of no use.
  for (const ComponentUpdate& component : update.components) {
    const auto brought = Bring(component.source, Substitute::kNone);
    if (Cancelled(brought.status())) return Answer{};
    if (!brought.ok()) return Failure(brought.status());
    add(*brought);
  }
  if (!update.image_runs) {
    const auto brought =
        Bring(SourceOf(update),
              update.delta ? Substitute::kWholeImage : Substitute::kNone);
    if (Cancelled(brought.status())) return Answer{};
    if (!brought.ok() && update.delta) return DeltaUnusable(brought.status());
    if (!brought.ok()) return Failure(brought.status());
    add(*brought);
  }
  Answer answer;
  answer.event = Event::kDone;
  answer.note = [stats](StateData&, UpdateRecord& u) {
    u.bytes_from_peers += stats.bytes_from_peers;
    u.bytes_from_origin += stats.bytes_from_origin;
  };
  return answer;
}

absl::StatusOr<FetchStats> Engine::Bring(const ArtifactSource& source,
                                         Substitute substitute) {
  const std::string path = PathOf(source);
  const absl::Status at_hand =
      o_.fs->Exists(path) ? VerifyFile(path, source.length, source.sha256)
                          : NotFound("no_source", path + " is missing");
  if (at_hand.ok()) return FetchStats{};
  if (!source.local_path.empty()) return at_hand;
  SHOAL_ASSIGN_OR_RETURN(const FetchStats stats,
                         o_.fetch(source, path, substitute, cancel_));
  SHOAL_RETURN_IF_ERROR(VerifyFile(path, source.length, source.sha256));
  return stats;
}

absl::StatusOr<Engine::Answer> Engine::Install(const UpdateRecord& update) {
  if (update.image_runs)
    return Answer{.event = Event::kDone, .next = Next::kWait, .note = {}};
  SHOAL_RETURN_IF_ERROR(o_.slots->Invalidate(update.target_slot));
  if (update.delta) return InstallDelta(update);
  SHOAL_ASSIGN_OR_RETURN(const std::string slot,
                         o_.slots->PathOf(update.target_slot));
  const absl::Status status =
      CopyVerified(PathOf(update.full), slot, update.full.length,
                   update.full.sha256, {}, &cancel_);
  if (Cancelled(status)) return Answer{};
  if (!status.ok()) return Failure(status);
  return Answer{.event = Event::kDone, .next = Next::kWait, .note = {}};
}

absl::StatusOr<Engine::Answer> Engine::InstallDelta(
    const UpdateRecord& update) {
  const DeltaSource& delta = *update.delta;
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, o_.slots->Running());
  SHOAL_ASSIGN_OR_RETURN(const std::string slot,
                         o_.slots->PathOf(update.target_slot));
  // T30: before the first byte is written.
  const auto base = HashFile(running.path, delta.from_length);
  if (!base.ok() || *base != delta.from_sha256)
    return DeltaUnusable(FailedPrecondition(
        "wrong_base", fmt::format("slot {} does not hold {}, which the delta "
                                  "starts from",
                                  running.slot, HexEncode(delta.from_sha256))));
  // T33, T35: what shoal-patch will parse is what the signed index names.
  const absl::Status patch_file = VerifyFile(
      PathOf(delta.artifact), delta.artifact.length, delta.artifact.sha256);
  if (!patch_file.ok()) return DeltaUnusable(patch_file);

  PatchJob job;
  job.patch_path = PathOf(delta.artifact);
  job.old_path = running.path;
  job.new_path = slot;
  job.old_size = delta.from_length;
  job.expected_size = update.image.length;
  job.expected_sha256 = update.image.sha256;
  // What the signed index says, and no more: this device may have little.
  if (delta.memory > 0) job.max_memory = delta.memory;
  job.resume_state = update.resume_state;
  job.program = o_.patch_program;
  job.cancel = &cancel_;
  absl::Duration last_note = o_.clock->MonotonicNow();
  const PatchProgress progress = [&](uint64_t,
                                     const std::string& resume_state) {
    const absl::Duration now = o_.clock->MonotonicNow();
    if (resume_state.empty() || now - last_note < absl::Seconds(2)) return;
    last_note = now;
    const absl::Status noted = o_.state->Change(
        [&](StateData& d) { d.update->resume_state = resume_state; });
    // Losing this only costs time after power loss.
    if (!noted.ok()) LogWarn("resume_state_lost", {{"error", noted}});
  };
  absl::Status status = o_.patch(job, progress);
  if (ReasonOf(status) == "bad_resume" && !job.resume_state.empty()) {
    // The state does not belong to what the slot holds: that costs the work
    // done, not the delta.
    LogWarn("patch_starts_anew", {{"error", status}});
    job.resume_state.clear();
    status = o_.patch(job, progress);
  }
  if (Cancelled(status)) return Answer{};
  if (!status.ok()) return DeltaUnusable(status);
  Answer answer;
  answer.event = Event::kDone;
  answer.note = [](StateData&, UpdateRecord& u) {
    u.used_delta = true;
    u.resume_state.clear();
  };
  return answer;
}

absl::StatusOr<Engine::Answer> Engine::Verify(const UpdateRecord& update) {
  if (update.image_runs)
    return Answer{.event = Event::kDone, .next = Next::kWait, .note = {}};
  SHOAL_ASSIGN_OR_RETURN(const std::string slot,
                         o_.slots->PathOf(update.target_slot));
  const absl::Status status =
      VerifyFile(slot, update.image.length, update.image.sha256);
  if (!status.ok() && update.delta) return DeltaUnusable(status);
  if (!status.ok()) return Failure(status);
  return Answer{.event = Event::kDone, .next = Next::kWait, .note = {}};
}

}  // namespace shoal::agent
