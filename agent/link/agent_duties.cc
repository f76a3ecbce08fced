// What the agent does beside updating: requests of the owner, telemetry,
// reports, offering bytes to neighbours.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "agent/link/agent.h"
#include "agent/link/inventory.h"
#include "agent/link/requests.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "rules/report_pace.h"
#include "signing/verify/fetcher.h"

namespace shoal::agent {

void Agent::ServeInstallRequest() {
  auto pending = TakeInstallRequest(fs_, config_);
  if (!pending) return;
  if (link_ != nullptr)
    pending->request.fleet_id = link_->out().membership().fleet_id;
  const auto result = BeginOfflineInstall(
      config_, pending->request, fs_, clock_, *state_, *slots_, *components_,
      *engine_, link_ == nullptr ? nullptr : &link_->updater());
  if (link_ != nullptr) {
    signing::DirectoryFetcher stick(fs_, pending->request.directory);
    if (const absl::Status taken = link_->TakeOver(stick); !taken.ok())
      LogDebug("stick_not_taken_over", {{"error", taken}});
    // What the stick lacks, the network may have.
    refresh_now_ = true;
  }
  InstallAnswer answer;
  if (result.ok())
    answer.result = *result;
  else
    answer.status = result.status();
  if (const absl::Status sent =
          AnswerInstall(fs_, config_, pending->id, answer);
      !sent.ok())
    LogError("request_unanswered", {{"error", sent}});
  WakeEngine();
}

void Agent::SendTelemetry() {
  const auto trust = link_->trust();
  if (!trust) return;
  const absl::Status sent = telemetry_->Send(
      Measure(config_.data_directory, clock_.WallNow()), *trust);
  if (!sent.ok()) LogWarn("telemetry_waits", {{"error", sent}});
}

void Agent::SendReport() {
  records::v1::DeviceReport report;
  report.set_device_type(config_.device_type);
  report.set_box_key(keys_->box->public_key());
  report.set_running_sha256(running_.info.sha256);
  report.set_running_version(running_.info.version);
  report.set_running_counter(running_.info.counter);
  if (const auto trust = link_->trust()) {
    report.set_policy_sha256(trust->policy_sha256);
    report.set_policy_version(trust->policy.version());
  }
  report.set_waiting_reason(decider_->waiting_reason());
  report.set_agent_version(kAgentVersion);
  for (const auto& key : link_->out().membership().grant.network().keys())
    report.set_network_epoch(std::max(report.network_epoch(), key.epoch()));
  for (const records::v1::KeyChange& change : link_->KeyChanges())
    *report.add_key_changes() = change;
  // The head itself changes with every publication: no reason for a report.
  const records::v1::LogReport log = link_->LogStatus();
  *report.mutable_log() = log;
  report.mutable_log()->clear_size();
  report.mutable_log()->clear_root();
  // So is memory that became free. A component that was changed is one.
  std::map<std::string, std::string> inventory;
  rules::TellParts(components_->Parts(), inventory);
  std::string key = report.SerializeAsString();
  for (const auto& [name, value] : inventory)
    key += fmt::format("{}={}\n", name, value);
  *report.mutable_log() = log;
  const bool changed = key != last_report_key_;
  const absl::Duration age = clock_.MonotonicNow() - last_report_;
  if (!changed && age < rules::kReportAtLeastEvery) return;
  // Changes that follow each other closely become one report.
  if (!last_report_key_.empty() && age < absl::Seconds(2)) return;
  inventory.merge(Inventory(config_.data_directory, running_.slot, deltas_));
  for (const auto& [name, value] : inventory)
    (*report.mutable_inventory())[name] = value;
  const absl::Status counted =
      state_->Change([](StateData& d) { ++d.report_version; });
  if (!counted.ok()) {
    LogError("state_not_saved", {{"error", counted}});
    return;
  }
  const std::string record = link_->out().Sign(
      records::v1::RECORD_KIND_DEVICE_REPORT,
      link_->places().DeviceReport(link_->out().membership().device_id()),
      state_->Get().report_version, report.SerializeAsString(),
      clock_.WallNow(), absl::Hours(24 * 7));
  if (const absl::Status sent = link_->spool().Add(record); !sent.ok()) {
    LogWarn("report_waits", {{"error", sent}});
    return;
  }
  // The one before is of no use any more.
  if (!last_report_digest_.empty()) {
    const absl::Status removed = link_->spool().Remove(last_report_digest_);
    if (!removed.ok()) LogDebug("spool", {{"error", removed}});
  }
  last_report_digest_ = dht::RecordDigest(record);
  last_report_key_ = std::move(key);
  last_report_ = clock_.MonotonicNow();
}

void Agent::Seed() {
  // What was downloaded for the last update is offered to the neighbours for
  // a while; everything else in the directory has had its day.
  seeds_.clear();
  std::vector<std::string> keep;
  const StateData state = state_->Get();
  for (const auto* update : {&state.update, &state.last_update}) {
    if (!update->has_value()) continue;
    const bool over =
        (*update)->finished_ms != 0 &&
        clock_.WallNow() - absl::FromUnixMillis((*update)->finished_ms) >
            config_.seed_time;
    std::vector<ArtifactSource> sources = {(*update)->full};
    if ((*update)->delta) sources.push_back((*update)->delta->artifact);
    for (const ComponentUpdate& component : (*update)->components)
      sources.push_back(component.source);
    for (const ArtifactSource& source : sources) {
      const std::string name = HexEncode(source.sha256);
      const std::string path = JoinPath(config_.DownloadDirectory(), name);
      if (over || !source.local_path.empty()) continue;
      keep.push_back(name);
      if (update == &state.update || !fs_.Exists(path)) continue;
      seeds_.push_back(source);
    }
  }
  if (const auto names = fs_.List(config_.DownloadDirectory()); names.ok())
    for (const std::string& name : *names)
      if (std::find(keep.begin(), keep.end(), name) == keep.end()) {
        if (const auto digest = HexDecode(name); digest.ok())
          fetch_->StopSeeding(*digest);
        const absl::Status removed =
            fs_.Remove(JoinPath(config_.DownloadDirectory(), name));
        if (!removed.ok()) LogWarn("cleanup_failed", {{"error", removed}});
      }
  if (config_.seed_time <= absl::ZeroDuration()) seeds_.clear();
  for (const ArtifactSource& source : seeds_) {
    dht::SeedJob job;
    job.artifact = ArtifactOf(source);
    job.path = JoinPath(config_.DownloadDirectory(), HexEncode(source.sha256));
    const absl::Status seeding =
        fetch_->Seed(std::move(job), [](absl::Status status) {
          if (!status.ok()) LogWarn("seed_refused", {{"error", status}});
        });
    if (!seeding.ok()) LogWarn("seed_refused", {{"error", seeding}});
  }
  Announce();
}

void Agent::Announce() {
  if (fetch_->swarm_address().empty()) return;
  for (const ArtifactSource& source : seeds_) {
    records::v1::Provider provider;
    provider.set_swarm_address(fetch_->swarm_address());
    const absl::Status sent = link_->out().Send(
        records::v1::RECORD_KIND_PROVIDER,
        link_->places().Provider(source.sha256),
        static_cast<uint64_t>(absl::ToUnixMillis(clock_.WallNow())),
        provider.SerializeAsString(), absl::Hours(1));
    if (!sent.ok()) LogWarn("announce_failed", {{"error", sent}});
  }
}

void Agent::CountLive(const std::string& waiting) {
  LiveNumbers live;
  live.refreshed = refreshed_;
  live.refresh_failures = refresh_failures_;
  live.clock = clock_.WallNow();
  live.clock_floor = device_clock_.floor();
  live.clock_source = std::string(ClockSourceName(device_clock_.source()));
  live.waiting = waiting;
  if (link_ != nullptr) {
    live.spool_records = link_->spool().pending();
    live.log_alarm = link_->LogStatus().alarm();
  }
  metrics_->Set(std::move(live));
}

void Agent::WriteLive(const std::string& waiting) {
  if (metrics_ != nullptr) CountLive(waiting);
  const uint64_t nodes =
      link_ == nullptr ? 0 : link_->network().Stats().connected_nodes;
  const auto agreed = link_ == nullptr ? std::nullopt : link_->time().agreed();
  const std::string text = fmt::format(
      "{{\"pid\":{},\"connected_nodes\":{},\"waiting_reason\":\"{}\","
      "\"clock\":\"{}\",\"clock_agreed_ms\":{},\"log_alarm\":\"{}\"}}\n",
      ::getpid(), nodes, waiting, ClockSourceName(device_clock_.source()),
      agreed ? absl::ToUnixMillis(*agreed) : 0,
      link_ == nullptr ? std::string() : link_->LogStatus().alarm());
  if (text == last_live_) return;
  const absl::Status written =
      fs_.WriteAtomic(JoinPath(config_.StateDirectory(), "live.json"), text);
  if (!written.ok()) {
    LogWarn("status_not_written", {{"error", written}});
    return;
  }
  last_live_ = text;
}

}  // namespace shoal::agent
