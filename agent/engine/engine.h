// Carries one update through its states (transitions.h). It decides nothing
// about whether to update; engine/candidate.h does.
//
// Power may fail at any moment: Step() on a new Engine over the same state
// directory goes on where the journal stands. Blocking; one thread.
#ifndef SHOAL_AGENT_ENGINE_ENGINE_H_
#define SHOAL_AGENT_ENGINE_ENGINE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/engine/transitions.h"
#include "agent/install/components.h"
#include "agent/install/slots.h"
#include "agent/patch/patch_runner.h"
#include "agent/state/device_state.h"
#include "common/clock.h"
#include "common/files.h"

namespace shoal::agent {

struct FetchStats {
  uint64_t bytes_from_peers = 0;
  uint64_t bytes_from_origin = 0;
};

// Another way to the same image: then a source is given up early, when those
// who answer have nothing of it.
enum class Substitute { kNone, kWholeImage };

struct HealthResult {
  bool healthy = false;
  std::string output;  // its last lines, at most 1,024 bytes
};

struct EngineOptions {
  FileSystem* fs = nullptr;  // none of these is owned
  Clock* clock = nullptr;
  DeviceState* state = nullptr;
  SlotHandler* slots = nullptr;
  std::string download_directory;
  std::string patch_program;  // empty: beside the running program
  int boot_tries = 2;

  // Brings the bytes to `path`, where part of them may lie already; "cancelled"
  // when `cancel` became true. The engine verifies them itself.
  std::function<absl::StatusOr<FetchStats>(
      const ArtifactSource& source, const std::string& path,
      Substitute substitute, const std::atomic<bool>& cancel)>
      fetch;
  // RunPatch, or a test's.
  std::function<absl::Status(const PatchJob&, const PatchProgress&)> patch;
  // Components::Run. Empty: an update with components is refused.
  std::function<absl::Status(const ComponentUpdate&, ComponentAction,
                             const std::string& file)>
      component;
  // The device's own health check of the running image.
  std::function<HealthResult(const RunningImage&)> health;
  // Signs the outcome and keeps it durably; called again after power loss
  // with the same outcome_counter.
  std::function<absl::Status(const UpdateRecord&, const RunningImage&)> report;
  // May the device restart now? Empty: always.
  std::function<bool()> may_restart;
};

class Engine {
 public:
  explicit Engine(EngineOptions options) : o_(std::move(options)) {}

  // Takes a new update: record.state is ignored, slot and start time are set
  // here. Counts the attempt, durably. kFailedPrecondition "busy".
  absl::Status Begin(UpdateRecord record);

  // Nothing to install: the image runs already. Raises the floor and goes
  // straight to reporting success. "busy".
  absl::Status BeginReport(UpdateRecord record);

  enum class Next {
    kIdle,    // nothing in hand
    kAgain,   // call Step() again
    kWait,    // cancelled, or not allowed to restart now: call again later
    kReboot,  // the device must restart now
  };
  // Does what the state in the journal asks for. An error (disk full, I/O)
  // leaves the state as it is: call again later.
  absl::StatusOr<Next> Step();
  // Step() until it says something else than kAgain.
  absl::StatusOr<Next> Run();

  // From any thread: ends a fetch or patch that is under way; it goes on with
  // the next Step() after Resume().
  void Cancel() { cancelled_ = cancel_ = true; }
  void Resume() { cancelled_ = cancel_ = false; }
  // From any thread: the update of this rollout is given up with the next
  // Step(), unless the device restarts into the new image already. It is no
  // failure and no try. `reason`: "superseded", "withdrawn".
  void Withdraw(const std::string& rollout_id, const std::string& reason);

 private:
  // The action of one state. An empty event: kWait or kReboot in `next`.
  struct Answer {
    std::optional<Event> event;
    Next next = Next::kWait;
    // Applied to the journal together with the new state.
    std::function<void(StateData&, UpdateRecord&)> note;
  };
  absl::StatusOr<Answer> Act(const UpdateRecord& update);
  absl::StatusOr<Answer> Fetch(const UpdateRecord& update);
  absl::StatusOr<Answer> Install(const UpdateRecord& update);
  absl::StatusOr<Answer> InstallDelta(const UpdateRecord& update);
  absl::StatusOr<Answer> Verify(const UpdateRecord& update);
  absl::StatusOr<Answer> Ready(const UpdateRecord& update);
  absl::StatusOr<Answer> Reboot(const UpdateRecord& update);
  absl::StatusOr<Answer> InstallComponents(const UpdateRecord& update);
  absl::StatusOr<Answer> Check(const UpdateRecord& update);
  absl::StatusOr<Answer> Commit(const UpdateRecord& update);
  absl::StatusOr<Answer> RollBack(const UpdateRecord& update);
  absl::StatusOr<Answer> Fail(const UpdateRecord& update);
  absl::StatusOr<Answer> Report(const UpdateRecord& update);

  // What is at hand, or the network brings, and is what was signed.
  absl::StatusOr<FetchStats> Bring(const ArtifactSource& source,
                                   Substitute substitute);
  // Says to the components that were begun that they hold, or to go back; which
  // failed, and how, or "".
  absl::StatusOr<std::string> UndoComponents(const UpdateRecord& update);
  void CommitComponents(const UpdateRecord& update);

  static constexpr size_t kMaxOutcomeText = 512;
  // Errors of this device's disk, not of the bytes: they call for another try.
  static bool DiskTrouble(const absl::Status& status);
  std::optional<Answer> Withdrawn(const UpdateRecord& update);
  Answer Failure(const absl::Status& status) const;
  Answer DeltaUnusable(const absl::Status& status) const;
  Answer FellBack(const UpdateRecord& update, std::string_view reason,
                  std::string_view message) const;
  const ArtifactSource& SourceOf(const UpdateRecord& update) const;
  std::string PathOf(const ArtifactSource& source) const;
  int64_t NowMs() const;

  EngineOptions o_;
  std::atomic<bool> cancelled_{false};  // by Cancel()
  std::atomic<bool> cancel_{false};     // by it, or for a withdrawal
  std::mutex withdraw_mutex_;
  std::string withdraw_rollout_;  // empty: none
  std::string withdraw_reason_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_ENGINE_ENGINE_H_
