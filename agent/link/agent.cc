#include "agent/link/agent.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "agent/boot/boot_env.h"
#include "agent/engine/health.h"
#include "agent/install/image_file.h"
#include "agent/link/inventory.h"
#include "agent/link/requests.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "common/subprocess.h"

namespace shoal::agent {
namespace {

constexpr size_t kMaxQueued = 256;
constexpr absl::Duration kRetryRefresh = absl::Seconds(5);
constexpr absl::Duration kHeartbeat = absl::Minutes(1);

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(AgentConfig config,
                                                     FileSystem& fs,
                                                     Clock& clock) {
  auto agent = std::unique_ptr<Agent>(new Agent(std::move(config), fs, clock));
  SHOAL_RETURN_IF_ERROR(agent->Prepare());
  return agent;
}

Agent::~Agent() {
  if (engine_) engine_->Cancel();
  {
    std::lock_guard lock(mutex_);
    engine_stop_ = true;
  }
  engine_wake_.notify_all();
  if (engine_thread_.joinable()) engine_thread_.join();
  // Listeners call back into this object until the network is gone; the
  // command runner and the spool go before it.
  commands_.reset();
  decider_.reset();
  telemetry_.reset();
  pairing_.reset();
  {
    std::lock_guard lock(link_mutex_);
    shared_link_.reset();
  }
  fetch_.reset();
}

absl::Status Agent::Prepare() {
  SHOAL_ASSIGN_OR_RETURN(lock_, LockData(fs_, config_));
  SHOAL_ASSIGN_OR_RETURN(
      state_, DeviceState::Open(
                  fs_, JoinPath(config_.StateDirectory(), "journal.json")));
  SHOAL_ASSIGN_OR_RETURN(
      keys_, DeviceKeys::LoadOrCreate(fs_, config_.StateDirectory()));
  slots_ = std::make_unique<FileSlots>(fs_, config_.data_directory);
  SHOAL_ASSIGN_OR_RETURN(running_, slots_->Running());
  // What is reported as running is what the bytes say (T27).
  if (!running_.info.sha256.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t size, fs_.Size(running_.path));
    SHOAL_ASSIGN_OR_RETURN(const std::string digest,
                           HashFile(running_.path, size));
    if (digest != running_.info.sha256) {
      LogError("running_image_changed",
               {{"slot", running_.slot}, {"sha256", HexEncode(digest)}});
      running_.info.sha256 = digest;
      running_.info.length = size;
      running_.info.version = "unknown";
      running_.info.counter = 0;
    }
  }
  SHOAL_RETURN_IF_ERROR(fs_.MakeDirectories(config_.DownloadDirectory()));
  dht::FetchOptions fetch;
  fetch.program = JoinPath(config_.program_directory, "shoal-fetch");
  fetch.listen = config_.swarm_listen;
  fetch.state_dir = JoinPath(config_.data_directory, "swarm");
  fetch.limits.upload_bytes_per_second = config_.upload_limit;
  fetch.limits.download_bytes_per_second = config_.download_limit;
  fetch.limits.allow_upload = config_.seed_time > absl::ZeroDuration();
  SHOAL_ASSIGN_OR_RETURN(fetch_, dht::FetchProcess::Open(std::move(fetch)));
  engine_ = std::make_unique<Engine>(MakeEngineOptions());
  last_decision_ = last_refresh_ = last_telemetry_ = last_report_ =
      last_announce_ = last_heartbeat_ = clock_.MonotonicNow();
  return absl::OkStatus();
}

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
                const std::atomic<bool>& cancel) -> absl::StatusOr<FetchStats> {
    std::shared_ptr<FleetLink> link;
    {
      std::lock_guard lock(link_mutex_);
      link = shared_link_;
    }
    if (!link) return Unavailable("no_network", "this device is not paired");
    return link->artifacts().Fetch(source, path, cancel);
  };
  o.patch = [](const PatchJob& job, const PatchProgress& progress) {
    return RunPatch(job, progress);
  };
  o.health = [this](const RunningImage& running) {
    return RunHealthCheck(config_.health_command, config_.health_timeout,
                          running);
  };
  o.report = [this](const UpdateRecord& update, const RunningImage& running) {
    return ReportOutcome(update, running);
  };
  o.may_restart = [this] {
    return InWindows(config_.windows, LocalTimeAt(clock_.WallNow()));
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

absl::Status Agent::GoOnline(Membership membership) {
  FleetLinkOptions options;
  options.config = &config_;
  options.fs = &fs_;
  options.clock = &clock_;
  options.keys = &*keys_;
  options.state = state_.get();
  options.fetch = fetch_.get();
  options.membership = std::move(membership);
  options.on_record = [this](const dht::VerifiedRecord& record) {
    std::lock_guard lock(mutex_);
    if (records_.size() >= kMaxQueued) records_.pop_front();
    records_.push_back(record);
    wake_.notify_all();
  };
  SHOAL_ASSIGN_OR_RETURN(std::unique_ptr<FleetLink> opened,
                         FleetLink::Open(std::move(options)));
  std::shared_ptr<FleetLink> link = std::move(opened);
  SHOAL_ASSIGN_OR_RETURN(
      telemetry_, TelemetrySender::Open(
                      fs_, JoinPath(config_.StateDirectory(), "telemetry"),
                      &link->places(), &link->out()));
  commands_ = std::make_unique<CommandRunner>(&config_, &*keys_, state_.get(),
                                              &link->holder(), &link->places(),
                                              &link->out());
  decider_ = std::make_unique<Decider>(&config_, &fs_, state_.get(),
                                       engine_.get(), link.get());
  link_ = link.get();
  {
    std::lock_guard lock(link_mutex_);
    shared_link_ = std::move(link);
  }
  LogInfo("online",
          {{"device", HexEncode(link_->out().membership().device_id())},
           {"dht", link_->network().bound_address()},
           {"swarm", fetch_->swarm_address()}});
  refresh_now_ = true;
  WakeEngine();
  return absl::OkStatus();
}

void Agent::StepPairing() {
  if (pairing_over_) return;
  const auto trouble = [this](const absl::Status& status) {
    if (last_trouble_ == ReasonOf(status)) return;
    last_trouble_ = ReasonOf(status);
    NoteRefusal(*state_, clock_, "pairing", status);
  };
  if (!pairing_) {
    const auto text = fs_.Read(config_.ticket_file, 8192);
    const auto ticket =
        text.ok() ? ParseTicket(*text)
                  : absl::StatusOr<pairing::v1::ClaimTicket>(text.status());
    if (!ticket.ok()) {
      trouble(ticket.status());
      return;
    }
    PairingOptions options;
    options.fs = &fs_;
    options.clock = &clock_;
    options.config = &config_;
    options.keys = &*keys_;
    options.fetch = fetch_.get();
    options.ticket = *ticket;
    options.inventory = Inventory();
    auto opened = Pairing::Open(std::move(options));
    if (!opened.ok()) {
      trouble(opened.status());
      pairing_over_ = ReasonOf(opened.status()) == "ticket_expired";
      return;
    }
    pairing_ = *std::move(opened);
    LogInfo("pairing", {{"fleet", HexEncode(ticket->fleet_id())}});
  }
  auto paired = pairing_->Step();
  if (!paired.ok()) {
    trouble(paired.status());
    const std::string reason = ReasonOf(paired.status());
    pairing_over_ = reason == "ticket_expired" || reason == "wrong_device_type";
    return;
  }
  if (!*paired) return;
  pairing_.reset();
  LogInfo("paired", {{"device", HexEncode((*paired)->device_id())},
                     {"fleet", HexEncode((*paired)->fleet_id)}});
  if (const absl::Status status = GoOnline(**std::move(paired)); !status.ok())
    LogError("link_failed", {{"error", status}});
}

bool Agent::Due(absl::Duration& last, absl::Duration period) {
  const absl::Duration now = clock_.MonotonicNow();
  if (now - last < period) return false;
  last = now;
  return true;
}

void Agent::TakeRecord(const dht::VerifiedRecord& record) {
  absl::Status status;
  switch (record.body.kind()) {
    case records::v1::RECORD_KIND_HEAD:
      LogDebug("head", {{"version", record.body.version()}});
      link_->TakeHead(record);
      refresh_now_ = true;
      break;
    case records::v1::RECORD_KIND_ASSIGNMENT:
      status = link_->TakeAssignment(record);
      break;
    case records::v1::RECORD_KIND_NODE_DIRECTORY:
      status = link_->TakeDirectory(record);
      break;
    case records::v1::RECORD_KIND_HALT:
      status = link_->TakeHalt(record);
      break;
    case records::v1::RECORD_KIND_COMMAND:
      commands_->Offer(record);
      break;
    default:
      break;
  }
  if (!status.ok()) NoteRefusal(*state_, clock_, "record", status);
}

void Agent::Refresh() {
  refresh_now_ = false;
  last_refresh_ = clock_.MonotonicNow();
  const absl::Status status = link_->Refresh();
  refresh_again_ = !status.ok();
  if (status.ok()) {
    last_metadata_trouble_.clear();
    LogDebug("metadata_fresh", {});
    return;
  }
  const std::string reason = ReasonOf(status);
  // No source is no lie.
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
      absl::IsNotFound(status) || absl::IsCancelled(status)) {
    if (last_metadata_trouble_ != reason)
      LogInfo("metadata_unavailable", {{"error", status}});
  } else if (last_metadata_trouble_ != reason) {
    NoteRefusal(*state_, clock_, "metadata", status);
  }
  last_metadata_trouble_ = reason;
}

void Agent::Turn() {
  ServeInstallRequest();
  if (link_ == nullptr) {
    if (!config_.ticket_file.empty()) StepPairing();
    WriteLive(link_ == nullptr ? "not_paired" : "");
    return;
  }
  std::deque<dht::VerifiedRecord> records;
  {
    std::lock_guard lock(mutex_);
    records.swap(records_);
  }
  for (const dht::VerifiedRecord& record : records) TakeRecord(record);
  bool look = !records.empty();
  const absl::Duration since = clock_.MonotonicNow() - last_refresh_;
  if (refresh_now_ || since >= config_.poll_interval ||
      (refresh_again_ && since >= kRetryRefresh)) {
    Refresh();
    look = true;
  }
  // After a start, and after every update: offer what it left.
  if (state_->Get().update) {
    had_update_ = true;
  } else if (had_update_) {
    had_update_ = false;
    look = true;
    Seed();
  }
  // Windows, gates and pauses end without any event.
  if (Due(last_decision_, absl::Seconds(1))) look = true;
  if (look && decider_->Decide(running_)) WakeEngine();
  SendReport();
  if (config_.telemetry && Due(last_telemetry_, config_.telemetry_interval))
    SendTelemetry();
  if (Due(last_announce_, absl::Minutes(20))) Seed();
  if (Due(last_heartbeat_, kHeartbeat))
    LogInfo("alive", {{"version", running_.info.version},
                      {"nodes", link_->network().Stats().connected_nodes},
                      {"spool", link_->spool().pending()},
                      {"waiting", decider_->waiting_reason()}});
  WriteLive(decider_->waiting_reason());
}

int Agent::Run(const std::atomic<bool>& stop) {
  LogInfo("started", {{"type", config_.device_type},
                      {"slot", running_.slot},
                      {"version", running_.info.version},
                      {"trial", running_.trial}});
  const auto membership = LoadMembership(fs_, config_.StateDirectory());
  if (!membership.ok()) {
    LogError("stopped", {{"error", membership.status()}});
    return 1;
  }
  // The update in hand goes on before anything else: a trial boot must be
  // judged with or without a network.
  engine_thread_ = std::thread([this] { EngineLoop(); });
  if (membership->has_value())
    if (const absl::Status status = GoOnline(**membership); !status.ok()) {
      LogError("stopped", {{"error", status}});
      return 1;
    }
  WakeEngine();
  while (!stop) {
    Turn();
    absl::Duration pause = absl::Milliseconds(200);
    if (link_ != nullptr && config_.telemetry)
      pause = std::min(pause, config_.telemetry_interval);
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, absl::ToChronoMilliseconds(pause),
                   [this] { return reboot_ || !records_.empty(); });
    if (reboot_) {
      LogInfo("restarting", {{"slot", running_.slot}});
      return kRebootExitCode;
    }
  }
  LogInfo("stopped", {});
  return 0;
}

}  // namespace shoal::agent
