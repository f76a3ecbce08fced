// The daemon: pairs if need be, keeps the fleet link, decides, and carries
// updates through. Three threads of its own besides the network's: control
// (the caller's), engine, commands.
#ifndef SHOAL_AGENT_LINK_AGENT_H_
#define SHOAL_AGENT_LINK_AGENT_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "agent/engine/engine.h"
#include "agent/link/agent_metrics.h"
#include "agent/link/commands.h"
#include "agent/link/decide.h"
#include "agent/link/fleet_link.h"
#include "agent/link/lazy_fetch.h"
#include "agent/link/pairing.h"
#include "agent/link/poll_pace.h"
#include "agent/link/record_queue.h"
#include "agent/link/telemetry.h"
#include "agent/state/device_clock.h"
#include "common/budget.h"

namespace shoal::agent {

// What many agents of one process share, and what stands in for hardware that
// they do not have. All empty in shoal-agent; shoal-sim fills it. None is
// owned; all outlive the agent.
struct AgentParts {
  SharedLink link;
  LazyFetch* fetch = nullptr;
  // As in EngineOptions.
  decltype(EngineOptions::fetch) fetch_artifact;
  decltype(EngineOptions::patch) patch;
  decltype(EngineOptions::health) health;
  // Something waits for the next Step. On any thread, must not block.
  std::function<void()> on_work;
};

class Agent {
 public:
  // `fs` and `clock` outlive it. "agent_running", and errors of the state.
  static absl::StatusOr<std::unique_ptr<Agent>> Create(AgentConfig config,
                                                       FileSystem& fs,
                                                       Clock& clock,
                                                       AgentParts parts = {});
  ~Agent();

  // Until `stop`, or until the device must restart (kRebootExitCode). Returns
  // the exit code.
  int Run(const std::atomic<bool>& stop);

  // Instead of Run, for a caller that drives many agents by few threads; one
  // thread at a time. First Begin, then again and again Step: one turn of the
  // control loop and of the engine, blocking as long as they do. kReboot: the
  // device must restart; this object is of no use any more. Errors as those of
  // Engine::Run: call again later.
  absl::Status Begin();
  absl::StatusOr<Engine::Next> Step();
  // Null before the device is paired. For the caller of Step.
  FleetLink* link() { return link_; }
  StateData State() const { return state_->Get(); }
  const RunningImage& running() const { return running_; }
  std::string waiting_reason() const {
    return decider_ ? decider_->waiting_reason() : pairing_state_;
  }
  // When (monotonic) the device last looked for new metadata, and why in vain:
  // a reason, "" when it has the newest. As Step.
  absl::Duration last_refresh() const { return last_refresh_; }
  const std::string& metadata_trouble() const { return last_metadata_trouble_; }

 private:
  Agent(AgentConfig config, FileSystem& fs, Clock& clock, AgentParts parts)
      : config_(std::move(config)),
        fs_(fs),
        device_clock_(clock),
        clock_(device_clock_),
        parts_(std::move(parts)) {}
  absl::Status Prepare();
  absl::Status PrepareFetch();
  EngineOptions MakeEngineOptions();
  void EngineLoop();
  void WakeEngine();

  void StepPairing();
  absl::Status GoOnline(Membership membership);
  void Turn();  // one turn of the control loop
  void TakeRecord(const dht::VerifiedRecord& record);
  void Refresh();
  void ServeInstallRequest();
  void SendTelemetry();
  void SendReport();
  void Seed();
  void Announce();
  void WriteLive(const std::string& waiting);
  void CountLive(const std::string& waiting);
  absl::Status ReportOutcome(const UpdateRecord& update,
                             const RunningImage& running);
  bool Due(absl::Duration& last, absl::Duration period);

  AgentConfig config_;
  FileSystem& fs_;
  DeviceClock device_clock_;
  Clock& clock_;  // the same
  const AgentParts parts_;
  FileDescriptor lock_;
  std::unique_ptr<DeviceState> state_;
  std::unique_ptr<FileSlots> slots_;
  std::unique_ptr<Components> components_;
  std::optional<DeviceKeys> keys_;
  RunningImage running_;  // with the digest of its real bytes
  rules::DeltaAbilities deltas_;
  std::unique_ptr<LazyFetch> own_fetch_;
  LazyFetch* fetch_ = nullptr;  // it, or the shared one

  // What the engine thread needs of the link; set once, when paired.
  std::mutex link_mutex_;
  std::shared_ptr<FleetLink> shared_link_;
  FleetLink* link_ = nullptr;  // control thread
  std::unique_ptr<CommandRunner> commands_;
  std::unique_ptr<TelemetrySender> telemetry_;
  std::unique_ptr<Decider> decider_;
  std::optional<PollPace> pace_;  // set with link_
  Budget refreshes_{0.2, 30};     // that others make it do
  std::unique_ptr<Pairing> pairing_;
  bool pairing_over_ = false;
  std::string pairing_state_ = "not_paired";  // for `status`
  absl::Duration last_pairing_try_;
  std::string last_trouble_;
  std::atomic<bool> may_activate_{false};  // the decider's, for the engine

  std::unique_ptr<AgentMetrics> metrics_;  // null: off
  absl::Time refreshed_ = absl::InfinitePast();
  uint64_t refresh_failures_ = 0;

  std::unique_ptr<Engine> engine_;
  std::thread engine_thread_;
  std::mutex mutex_;
  std::condition_variable wake_;         // of the control thread
  std::condition_variable engine_wake_;  // of the engine thread
  RecordQueue records_;
  bool overflow_ = false;  // said once
  // For TakeRetiredGrant: from where, and the record.
  std::deque<std::pair<std::string, std::string>> grants_;
  bool engine_stop_ = false;
  bool engine_work_ = false;
  bool reboot_ = false;

  absl::Duration last_decision_;
  absl::Duration last_refresh_;
  absl::Duration retry_refresh_;  // not before, when the last one failed
  absl::Duration last_telemetry_;
  absl::Duration last_report_;
  absl::Duration last_announce_;
  absl::Duration last_heartbeat_;
  bool refresh_now_ = true;
  bool had_update_ = true;
  bool refresh_again_ = false;  // the last one failed: soon again
  std::string last_report_key_;
  std::string last_report_digest_;
  std::string last_metadata_trouble_;
  std::string last_live_;
  std::vector<ArtifactSource> seeds_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_AGENT_H_
