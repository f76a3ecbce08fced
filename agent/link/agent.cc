#include "agent/link/agent.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "agent/boot/boot_env.h"
#include "agent/engine/delta_abilities.h"
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

constexpr absl::Duration kRetryRefresh = absl::Seconds(5);
constexpr absl::Duration kHeartbeat = absl::Minutes(1);

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(AgentConfig config,
                                                     FileSystem& fs,
                                                     Clock& clock,
                                                     AgentParts parts) {
  auto agent = std::unique_ptr<Agent>(
      new Agent(std::move(config), fs, clock, std::move(parts)));
  SHOAL_RETURN_IF_ERROR(agent->Prepare());
  return agent;
}

Agent::~Agent() {
  metrics_.reset();
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
  own_fetch_.reset();
}

absl::Status Agent::Prepare() {
  SHOAL_ASSIGN_OR_RETURN(lock_, LockData(fs_, config_));
  SHOAL_ASSIGN_OR_RETURN(
      state_, DeviceState::Open(
                  fs_, JoinPath(config_.StateDirectory(), "journal.json")));
  SHOAL_ASSIGN_OR_RETURN(
      keys_, DeviceKeys::LoadOrCreate(fs_, config_.StateDirectory()));
  slots_ = std::make_unique<FileSlots>(fs_, config_.data_directory);
  components_ = std::make_unique<Components>(config_, clock_);
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
  deltas_ =
      parts_.patch ? UsualDeltaAbilities(config_) : FindDeltaAbilities(config_);
  SHOAL_RETURN_IF_ERROR(fs_.MakeDirectories(config_.DownloadDirectory()));
  SHOAL_RETURN_IF_ERROR(PrepareFetch());
  engine_ = std::make_unique<Engine>(MakeEngineOptions());
  if (!config_.metrics_listen.empty()) {
    auto metrics = AgentMetrics::Open(fs_, config_);
    // A port that is taken is no reason to be without updates.
    if (!metrics.ok())
      LogError("metrics_failed", {{"error", metrics.status()}});
    if (metrics.ok()) metrics_ = *std::move(metrics);
  }
  last_decision_ = last_refresh_ = last_telemetry_ = last_report_ =
      last_announce_ = last_heartbeat_ = clock_.MonotonicNow();
  return absl::OkStatus();
}

absl::Status Agent::PrepareFetch() {
  fetch_ = parts_.fetch;
  if (fetch_ != nullptr) return absl::OkStatus();
  dht::FetchOptions fetch;
  fetch.program = JoinPath(config_.program_directory, "shoal-fetch");
  fetch.listen = config_.swarm_listen;
  fetch.state_dir = JoinPath(config_.data_directory, "swarm");
  fetch.limits.upload_bytes_per_second = config_.upload_limit;
  fetch.limits.download_bytes_per_second = config_.download_limit;
  fetch.limits.allow_upload = config_.seed_time > absl::ZeroDuration();
  if (!fs_.Exists(fetch.program))
    return NotFound("io_not_found", fetch.program + " is missing");
  own_fetch_ = std::make_unique<LazyFetch>(std::move(fetch), clock_);
  fetch_ = own_fetch_.get();
  return absl::OkStatus();
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
      if (link_->TakeHead(record)) refresh_now_ = true;
      break;
    case records::v1::RECORD_KIND_ASSIGNMENT:
      status = link_->TakeAssignment(record);
      break;
    case records::v1::RECORD_KIND_PAIR_GRANT:
      status = link_->TakeGrant(record);
      // The plane withdraws its offer when it sees a report under it.
      if (status.ok()) last_report_key_.clear();
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
  for (const absl::Status& passed_over : link_->TakePassedOver())
    NoteRefusal(*state_, clock_, "metadata", passed_over);
  refresh_again_ = !status.ok();
  retry_refresh_ = clock_.MonotonicNow() + pace_->Spread(kRetryRefresh);
  if (status.ok()) {
    refreshed_ = clock_.WallNow();
    last_metadata_trouble_.clear();
    LogDebug("metadata_fresh", {});
    return;
  }
  ++refresh_failures_;
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
  fetch_->EndIfIdle();
  if (link_ == nullptr) {
    if (!config_.ticket_file.empty() || !config_.bootstrap_file.empty())
      StepPairing();
    WriteLive(link_ == nullptr ? pairing_state_ : "");
    return;
  }
  std::vector<dht::VerifiedRecord> records;
  std::deque<std::pair<std::string, std::string>> grants;
  {
    std::lock_guard lock(mutex_);
    records = records_.Take();
    grants.swap(grants_);
  }
  for (const auto& [node, grant] : grants)
    if (const absl::Status taken = link_->TakeRetiredGrant(node, grant);
        !taken.ok())
      NoteRefusal(*state_, clock_, "record", taken);
  for (const dht::VerifiedRecord& record : records) TakeRecord(record);
  bool look = !records.empty();
  if (link_->StepTime()) refresh_now_ = true;
  // Not put off by what is pushed: pushes of halts may be lost while those of
  // HEADs arrive.
  const absl::Duration now = clock_.MonotonicNow();
  const bool poll = pace_->Due(now);
  const bool told = refresh_now_ && refreshes_.Spend(now);
  if (told || poll || (refresh_again_ && now >= retry_refresh_)) {
    if (poll || !config_.listen) link_->LookUp();
    Refresh();
    look = true;
  }
  link_->MindConnection();
  link_->CompareLogs();
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
  if (look) {
    const bool began = decider_->Decide(running_);
    const bool may_activate = decider_->may_activate();
    // A released image waits for no tick.
    if (may_activate_.exchange(may_activate) != may_activate || began)
      WakeEngine();
  }
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

absl::Status Agent::Begin() {
  SHOAL_ASSIGN_OR_RETURN(auto membership,
                         LoadMembership(fs_, config_.StateDirectory()));
  if (!membership) return absl::OkStatus();
  return GoOnline(*std::move(membership));
}

absl::StatusOr<Engine::Next> Agent::Step() {
  // As the two threads of Run do it: the engine first, since a trial boot is
  // judged whatever the network says.
  {
    std::lock_guard lock(mutex_);
    engine_work_ = false;
  }
  auto next = engine_->Run();
  if (!next.ok() || *next == Engine::Next::kReboot) return next;
  Turn();
  return engine_->Run();
}

int Agent::Run(const std::atomic<bool>& stop) {
  LogInfo("started", {{"type", config_.device_type},
                      {"slot", running_.slot},
                      {"version", running_.info.version},
                      {"trial", running_.trial}});
  // The update in hand goes on before anything else: a trial boot must be
  // judged with or without a network.
  engine_thread_ = std::thread([this] { EngineLoop(); });
  if (const absl::Status status = Begin(); !status.ok()) {
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
