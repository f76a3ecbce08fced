// What an update does with the components beside its image: installed when the
// new image runs, before its health check judges all together; brought back
// when it is sick or was given up. Whatever happens, it happens to all.
#include <fmt/format.h>

#include "agent/engine/engine.h"
#include "agent/install/image_file.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

// A program that fails to bring its component back is asked so often.
constexpr int kUndoTries = 3;

}  // namespace

absl::StatusOr<Engine::Answer> Engine::InstallComponents(
    const UpdateRecord& update) {
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, o_.slots->Running());
  if (running.slot != update.target_slot)
    return FellBack(update, "boot_failed",
                    "the new image was reset before its components were "
                    "installed");
  for (size_t i = 0; i < update.components.size(); ++i) {
    const ComponentUpdate& component = update.components[i];
    if (!component.begun)
      SHOAL_RETURN_IF_ERROR(o_.state->Change(
          [&](StateData& d) { d.update->components[i].begun = true; }));
    const std::string path = PathOf(component.source);
    // T33: long may have passed since it was fetched.
    absl::Status status =
        VerifyFile(path, component.source.length, component.source.sha256);
    if (DiskTrouble(status)) return status;
    if (status.ok())
      status = o_.component(component, ComponentAction::kInstall, path);
    if (status.ok()) continue;
    Answer answer;
    answer.event = Event::kSick;
    answer.note = [reason = ReasonOf(status),
                   message = fmt::format("component {}: {}", component.name,
                                         std::string(status.message()))](StateData&,
                                                            UpdateRecord& u) {
      u.reason = reason;
      u.message = message.substr(0, kMaxOutcomeText);
    };
    return answer;
  }
  return Answer{.event = Event::kDone, .next = Next::kWait, .note = {}};
}

absl::StatusOr<std::string> Engine::UndoComponents(const UpdateRecord& update) {
  std::string left;
  for (size_t i = update.components.size(); i-- > 0;) {
    const ComponentUpdate& component = update.components[i];
    if (!component.begun) continue;
    absl::Status status;
    for (int tries = 0; tries < kUndoTries; ++tries) {
      status = o_.component(component, ComponentAction::kRollback, "");
      if (status.ok()) break;
    }
    if (!status.ok()) {
      LogError("component_not_brought_back",
               {{"component", component.name}, {"error", status}});
      left += fmt::format("{}{}", left.empty() ? "" : ", ", component.name);
    }
    // Told, for better or worse: an update must come to its end.
    SHOAL_RETURN_IF_ERROR(o_.state->Change(
        [&](StateData& d) { d.update->components[i].begun = false; }));
  }
  return left;
}

void Engine::CommitComponents(const UpdateRecord& update) {
  for (const ComponentUpdate& component : update.components) {
    const absl::Status status =
        o_.component(component, ComponentAction::kCommit, "");
    // It runs, and its image is committed: only its program's tidying failed.
    if (!status.ok())
      LogWarn("component_commit_failed",
              {{"component", component.name}, {"error", status}});
  }
}

}  // namespace shoal::agent
