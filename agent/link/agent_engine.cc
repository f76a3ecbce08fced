// The agent's engine thread: what the engine needs of the device and of the
// link, and when the device restarts.
#include <utility>

#include "agent/engine/health.h"
#include "agent/engine/offline_install.h"
#include "agent/link/agent.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::agent {

EngineOptions Agent::MakeEngineOptions() {
  EngineOptions o;
  o.fs = &fs_;
  o.clock = &clock_;
  o.state = state_.get();
  o.slots = slots_.get();
  o.download_directory = config_.DownloadDirectory();
  o.patch_program = JoinPath(config_.program_directory, "shoal-patch");
  o.boot_tries = config_.boot_tries;
  o.fetch = [this](
                const ArtifactSource& source, const std::string& path,
                Substitute substitute,
                const std::atomic<bool>& cancel) -> absl::StatusOr<FetchStats> {
    std::shared_ptr<FleetLink> link;
    {
      std::lock_guard lock(link_mutex_);
      link = shared_link_;
    }
    if (!link) return Unavailable("no_network", "this device is not paired");
    return link->artifacts().Fetch(source, path, substitute, cancel);
  };
  o.patch = [](const PatchJob& job, const PatchProgress& progress) {
    return RunPatch(job, progress);
  };
  o.component = [this](const ComponentUpdate& update, ComponentAction action,
                       const std::string& file) {
    return components_->Run(update, action, file);
  };
  o.health = [this](const RunningImage& running) {
    return RunHealthCheck(config_.health_command, config_.health_timeout,
                          running);
  };
  o.report = [this](const UpdateRecord& update, const RunningImage& running) {
    return ReportOutcome(update, running);
  };
  if (parts_.fetch_artifact) o.fetch = parts_.fetch_artifact;
  if (parts_.patch) o.patch = parts_.patch;
  if (parts_.health) o.health = parts_.health;
  o.may_restart = [this] {
    if (!InWindows(config_.windows, LocalTimeAt(clock_.WallNow())))
      return false;
    const auto update = state_->Get().update;
    // An installation by hand asks nobody.
    if (!update || update->rollout_id == kOfflineRollout) return true;
    return may_activate_.load();
  };
  return o;
}

absl::Status Agent::ReportOutcome(const UpdateRecord& update,
                                  const RunningImage& running) {
  std::shared_ptr<FleetLink> link;
  {
    std::lock_guard lock(link_mutex_);
    link = shared_link_;
  }
  if (!link) {
    const auto membership = LoadMembership(fs_, config_.StateDirectory());
    SHOAL_RETURN_IF_ERROR(membership);
    // An unpaired device has nobody to tell. A paired one tells later.
    if (!membership->has_value()) return absl::OkStatus();
    return Unavailable("no_network", "the link is not up yet");
  }
  return link->spool().Add(
      MakeOutcomeRecord(link->out(), link->places(), update, running));
}

void Agent::EngineLoop() {
  bool told = false;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      engine_wake_.wait_for(lock, std::chrono::seconds(1),
                            [this] { return engine_stop_ || engine_work_; });
      if (engine_stop_) return;
      engine_work_ = false;
    }
    const auto next = engine_->Run();
    if (!next.ok()) {
      LogWarn("update_waits", {{"error", next.status()}});
      std::unique_lock lock(mutex_);
      engine_wake_.wait_for(lock, std::chrono::seconds(2),
                            [this] { return engine_stop_; });
      continue;
    }
    if (*next != Engine::Next::kReboot) {
      std::lock_guard lock(mutex_);
      wake_.notify_all();  // it may have become idle
      continue;
    }
    const auto update = state_->Get().update;
    // Rolling back never waits for anybody.
    if (!config_.reboot_automatically && update &&
        update->state == UpdateState::kRebooting) {
      if (!told)
        LogInfo("restart_needed", {{"version", update->image.version}});
      told = true;
      continue;
    }
    std::lock_guard lock(mutex_);
    reboot_ = true;
    wake_.notify_all();
    return;
  }
}

void Agent::WakeEngine() {
  {
    std::lock_guard lock(mutex_);
    engine_work_ = true;
  }
  engine_wake_.notify_all();
}

}  // namespace shoal::agent
