#include "sim/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agent/boot/boot_env.h"
#include "agent/engine/delta_abilities.h"
#include "agent/install/image_file.h"
#include "agent/link/inventory.h"
#include "agent/link/pairing.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "common/status.h"
#include "sim/fleet.h"

namespace shoal::sim {
namespace {

// Turns of an idle device: what is timed (backoff, reports) waits so long.
constexpr absl::Duration kTurn = absl::Seconds(8);
constexpr absl::Duration kPatience = absl::Minutes(10);
constexpr absl::Duration kSoon = absl::Milliseconds(500);

absl::Duration Now() { return SystemClock().MonotonicNow(); }
FileSystem& fs() { return RealFileSystem(); }

}  // namespace

std::string_view DeviceStateName(DeviceState state) {
  static constexpr std::string_view kNames[kDeviceStates] = {
      "unpaired",   "idle",      "downloading", "installing",
      "restarting", "reporting", "away"};
  return kNames[static_cast<size_t>(state)];
}

void World::Offer(const rollout::v1::RolloutDocument& document) {
  std::lock_guard lock(facts_mutex);
  if (document.version() <= facts.document.version()) return;
  facts.document = document;
  facts.new_sha256 = document.release().sha256();
  facts.opened_ms.emplace(document.open_phase(), document.opened_at());
}

SimDevice::SimDevice(size_t index, World* world)
    : index_(index),
      world_(world),
      fate_([&] {
        const SimOptions& o = *world->options;
        if (Chance(o.seed, index, "fate") >= o.failing) return Fate::kGood;
        return Chance(o.seed, index, "how") < 0.5 ? Fate::kSick : Fate::kNoBoot;
      }()),
      bytes_per_second_(LinkOf(*world->options, index)) {
  config_.data_directory =
      JoinPath(world->flash, fmt::format("device-{:05}", index));
  config_.path = JoinPath(config_.data_directory, "agent.toml");
  config_.device_type = kDeviceType;
  config_.bootstrap_file = world->bootstrap;
  config_.bind_address = "127.0.0.1:0";
  config_.swarm_listen = "127.0.0.1:0";
  // For pushes that are lost; a quarter of an hour in the field, by default.
  config_.poll_interval = absl::Minutes(1);
  config_.log_interval = absl::Hours(1);
  config_.seed_time = absl::ZeroDuration();
  config_.health_timeout = absl::Minutes(1);
  config_.telemetry = false;
  config_.telemetry_interval = absl::Hours(1);
  config_.program_directory = world->options->programs;
}

SimDevice::~SimDevice() = default;

absl::Status SimDevice::Manufacture() {
  agent::FileSlots slots(fs(), config_.data_directory);
  SHOAL_RETURN_IF_ERROR(slots.Initialise(world_->old_image, kOldVersion));
  SHOAL_ASSIGN_OR_RETURN(
      const agent::DeviceKeys keys,
      agent::DeviceKeys::LoadOrCreate(fs(), config_.StateDirectory()));
  public_key_ = keys.signing.public_key();
  return absl::OkStatus();
}

absl::Duration SimDevice::Later(absl::Duration mean) {
  // Spread, so that nothing beats in time.
  return mean * (0.75 + 0.5 * Chance(world_->options->seed, index_,
                                     std::to_string(++work_)));
}

void SimDevice::Trouble(const absl::Status& status) {
  std::lock_guard lock(mutex_);
  trouble_ =
      fmt::format("{}: {}", ReasonOf(status), std::string(status.message()));
}

std::string SimDevice::last_trouble() const {
  std::lock_guard lock(mutex_);
  return trouble_;
}

Knowledge SimDevice::knowledge() const {
  std::lock_guard lock(mutex_);
  Knowledge knowledge = knowledge_;
  knowledge.device_id = truth_.device_id;
  knowledge.done = updated_ || failed_;
  knowledge.away = state_ == DeviceState::kOff;
  return knowledge;
}

Truth SimDevice::truth() const {
  std::lock_guard lock(mutex_);
  return truth_;
}

absl::StatusOr<std::string> SimDevice::CommittedDigest() const {
  SHOAL_ASSIGN_OR_RETURN(
      const agent::BootEnv env,
      agent::LoadBootEnv(fs(), JoinPath(config_.data_directory, "boot")));
  agent::FileSlots slots(fs(), config_.data_directory);
  SHOAL_ASSIGN_OR_RETURN(const std::string path, slots.PathOf(env.committed));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t size, fs().Size(path));
  return agent::HashFile(path, size);
}

absl::Duration SimDevice::Work() {
  if (Now() < off_until_) return off_until_ - Now();
  const SimOptions& o = *world_->options;
  if (world_->rollout && !was_away_) {
    was_away_ = true;
    if (Chance(o.seed, index_, "away") < o.offline) {
      PowerOff(o.offline_for * Chance(o.seed, index_, "how long"),
               DeviceState::kOff);
      return off_until_ - Now();
    }
  }
  if (agent_) return Drive();
  if (state_ == DeviceState::kUnpaired) return Pair();
  if (const absl::Status booted = Boot(); !booted.ok()) {
    Trouble(booted);
    return Later(kSoon);
  }
  return absl::ZeroDuration();
}

absl::Duration SimDevice::Pair() {
  if (!pairing_) {
    // Whoever is not among the first is woken when one of them is through.
    if (index_ >= world_->may_pair) return absl::InfiniteDuration();
    auto keys = agent::DeviceKeys::LoadOrCreate(fs(), config_.StateDirectory());
    if (!keys.ok()) {
      Trouble(keys.status());
      return Later(kSoon);
    }
    keys_ = *std::move(keys);
    agent::PairingDevice device;
    device.fs = &fs();
    device.clock = &SystemClock();
    device.config = &config_;
    device.keys = &*keys_;
    device.inventory = agent::Inventory(config_.data_directory, "a",
                                        agent::UsualDeltaAbilities(config_));
    auto opened =
        agent::Pairing::OpenConfigured(std::move(device), world_->fetch);
    if (!opened.ok()) {
      Trouble(opened.status());
      return Later(kSoon);
    }
    pairing_ = *std::move(opened);
    pairing_began_ = Now();
  }
  const auto paired = pairing_->Step();
  if (!paired.ok()) Trouble(paired.status());
  if (!paired.ok() || !*paired) {
    // As somebody at a device that does not come up would do.
    if (Now() - pairing_began_ > kPatience) {
      pairing_.reset();
      ++world_->switched_off_and_on;
    }
    return Later(kSoon);
  }
  pairing_.reset();
  keys_.reset();
  world_->wake(world_->may_pair++);
  {
    std::lock_guard lock(mutex_);
    truth_.device_id = (*paired)->device_id();
    trouble_.clear();
  }
  if (const absl::Status booted = Boot(); !booted.ok()) Trouble(booted);
  state_ = DeviceState::kIdle;
  return absl::ZeroDuration();
}

// What shoal-boot does: the loader's choice, again while the image of a trial
// does not start, then the agent.
absl::Status SimDevice::Boot() {
  const std::string boot = JoinPath(config_.data_directory, "boot");
  SHOAL_ASSIGN_OR_RETURN(agent::RunningSlot slot, agent::BootOnce(fs(), boot));
  while (slot.trial && fate_ == Fate::kNoBoot) {
    SHOAL_ASSIGN_OR_RETURN(slot, agent::BootOnce(fs(), boot));
  }
  SHOAL_ASSIGN_OR_RETURN(const auto membership,
                         agent::LoadMembership(fs(), config_.StateDirectory()));
  if (!membership) return Internal("not_paired", "membership.json is gone");
  SHOAL_ASSIGN_OR_RETURN(const agent::SharedLink link,
                         world_->sockets->LinkFor(index_, *membership));
  SHOAL_ASSIGN_OR_RETURN(
      agent_, agent::Agent::Create(config_, fs(), SystemClock(), Parts(link)));
  if (const absl::Status begun = agent_->Begin(); !begun.ok()) {
    agent_.reset();
    return begun;
  }
  world_->sockets->OfferTrust(index_, agent_->link()->trust());
  return absl::OkStatus();
}

agent::AgentParts SimDevice::Parts(const agent::SharedLink& link) {
  agent::AgentParts parts;
  parts.link = link;
  parts.fetch = world_->fetch;
  parts.fetch_artifact = [this](const agent::ArtifactSource& source,
                                const std::string& path, agent::Substitute,
                                const std::atomic<bool>&) {
    return Fetch(source, path);
  };
  parts.patch = [this](const agent::PatchJob& job,
                       const agent::PatchProgress&) {
    return world_->artifacts->Patch(job);
  };
  parts.health = [this](const agent::RunningImage& running) {
    agent::HealthResult result;
    result.healthy =
        fate_ != Fate::kSick || running.info.version != kNewVersion;
    if (!result.healthy) result.output = "simulated: the new image is sick";
    return result;
  };
  parts.on_work = [this] {
    world_->sockets->Pushed(index_);
    world_->wake(index_);
  };
  return parts;
}

// The bytes come at once, in time only as fast as the device's link.
absl::StatusOr<agent::FetchStats> SimDevice::Fetch(
    const agent::ArtifactSource& source, const std::string& path) {
  if (downloading_ != source.sha256) {
    const auto update = agent_->State().update;
    const bool delta = update && update->delta &&
                       update->delta->artifact.sha256 == source.sha256;
    const SimOptions& o = *world_->options;
    const double bytes =
        static_cast<double>(delta ? o.delta_bytes : o.image_bytes);
    downloading_ = source.sha256;
    download_end_ = Now() + absl::Seconds(bytes / bytes_per_second_);
  }
  if (Now() < download_end_)
    return MakeError(absl::StatusCode::kCancelled, "cancelled",
                     "the simulated link is at it");
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         world_->artifacts->Fetched(source, *agent_->link()));
  SHOAL_RETURN_IF_ERROR(
      agent::CopyVerified(bytes, path, source.length, source.sha256));
  downloading_.clear();
  return agent::FetchStats{.bytes_from_peers = source.length,
                           .bytes_from_origin = 0};
}

void SimDevice::PowerOff(absl::Duration time, DeviceState shown) {
  agent_.reset();
  downloading_.clear();
  state_ = shown;
  off_until_ = Now() + time;
}

absl::Duration SimDevice::Drive() {
  const auto next = agent_->Step();
  Note();
  world_->sockets->OfferTrust(index_, agent_->link()->trust());
  NoteKnowledge();
  if (!next.ok()) {
    Trouble(next.status());
    return Later(kSoon);
  }
  if (*next == agent::Engine::Next::kReboot) {
    // Each try of an image that does not start takes its time as well.
    const bool in_vain =
        fate_ == Fate::kNoBoot && agent_->running().info.version == kOldVersion;
    PowerOff(Later(world_->options->reboot_time) *
                 (in_vain ? 1 + config_.boot_tries : 1),
             DeviceState::kRestarting);
    return off_until_ - Now();
  }
  if (!downloading_.empty())
    return std::max(download_end_ - Now(), absl::Milliseconds(1));
  return Later(state_ == DeviceState::kIdle ? kTurn : kSoon);
}

void SimDevice::NoteKnowledge() {
  const agent::FleetLink& link = *agent_->link();
  uint64_t version = 0;
  for (const agent::RolloutEntry& entry : link.rollouts()) {
    if (entry.document.id() != kRollout) continue;
    version = entry.document.version();
    world_->Offer(entry.document);
  }
  std::lock_guard lock(mutex_);
  knowledge_.socket = world_->sockets->IndexOf(index_);
  knowledge_.metadata_version = link.metadata_version();
  knowledge_.rollout_version = version;
  if (knowledge_.looked_at != agent_->last_refresh()) ++knowledge_.looks;
  knowledge_.looked_at = agent_->last_refresh();
  knowledge_.metadata_trouble = agent_->metadata_trouble();
  knowledge_.waiting = agent_->waiting_reason();
}

// What the journal says is what this device truly did.
void SimDevice::Note() {
  const agent::StateData data = agent_->State();
  DeviceState state = DeviceState::kIdle;
  if (data.update) switch (data.update->state) {
      case agent::UpdateState::kFetching:
        state = DeviceState::kDownloading;
        break;
      case agent::UpdateState::kInstalling:
      case agent::UpdateState::kVerifying:
      case agent::UpdateState::kReady:
        state = DeviceState::kInstalling;
        break;
      case agent::UpdateState::kRebooting:
        state = DeviceState::kRestarting;
        break;
      default:
        state = DeviceState::kReporting;
    }
  state_ = state;
  const auto& last = data.last_update;
  if (!last || last->rollout_id != kRollout) return;
  std::lock_guard lock(mutex_);
  if (!truth_.attempts.empty() &&
      truth_.attempts.back().counter == last->outcome_counter)
    return;
  Attempt attempt;
  attempt.counter = last->outcome_counter;
  attempt.success = last->result == agent::UpdateResult::kSuccess;
  attempt.phase = last->phase;
  attempt.used_delta = last->used_delta;
  attempt.started_ms = last->started_ms;
  attempt.finished_ms = last->finished_ms;
  attempt.reason = last->reason;
  updated_ = attempt.success;
  failed_ = !attempt.success;
  truth_.attempts.push_back(std::move(attempt));
}

}  // namespace shoal::sim
