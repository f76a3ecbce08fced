#include "sim/simulation.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <thread>

#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/status.h"
#include "sim/account.h"

namespace shoal::sim {
namespace {

constexpr absl::Duration kSamplePause = absl::Seconds(1);
constexpr absl::Duration kIdleTime = absl::Seconds(10);
constexpr absl::Duration kSettle = absl::Minutes(1);
// Nothing goes on any more when nothing changed although everybody whose turn
// it is has looked for something new so often since: on a busy machine that
// takes longer. A device that hangs never does.
constexpr uint64_t kLooks = 3;
constexpr absl::Duration kStalled = absl::Minutes(1);  // at least
constexpr absl::Duration kHanging = absl::Minutes(15);

absl::Duration Now() { return SystemClock().MonotonicNow(); }

// A lock and a few files for each device.
void RaiseFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

struct Simulation::Readings {
  absl::Duration at;
  Usage plane;
  std::vector<Usage> nodes;
  Usage simulator;
  uint64_t udp_in = 0;
  uint64_t udp_out = 0;
};

Simulation::Simulation(SimOptions options)
    : options_(std::move(options)),
      fleet_(options_.programs, JoinPath(options_.directory, "fleet")) {
  report_.options = options_;
}

Simulation::~Simulation() {
  if (scheduler_) scheduler_->Stop();
  // The links of the devices end before the sockets that they share.
  devices_.clear();
}

void Simulation::Say(const std::string& line, bool last) {
  if (options_.quiet) return;
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  if (terminal)
    fmt::print(stderr, "\r\x1b[K{}{}", line, last ? "\n" : "");
  else if (last || Now() - last_said_ >= absl::Seconds(10))
    fmt::print(stderr, "{}\n", line);
  else
    return;
  last_said_ = Now();
  std::fflush(stderr);
}

absl::Status Simulation::StillRuns(const std::atomic<bool>& stop) {
  if (stop)
    return MakeError(absl::StatusCode::kCancelled, "stopped", "stopped");
  const std::string ended = fleet_.Ended();
  if (!ended.empty())
    return Internal("daemon_ended", "a program of the fleet ended: " + ended);
  return absl::OkStatus();
}

absl::Status Simulation::SetUp() {
  RaiseFileLimit();
  Say("setting up keys, plane and storage nodes", false);
  SHOAL_RETURN_IF_ERROR(fleet_.Start(options_.nodes));
  world_.options = &options_;
  world_.flash = options_.flash;
  world_.may_pair = static_cast<size_t>(options_.pairing_at_once);
  world_.bootstrap = fleet_.Path("bootstrap");
  world_.old_image = fleet_.ImagePath(kOldVersion);
  SHOAL_RETURN_IF_ERROR(fleet_.MakeBootstrapFile(world_.bootstrap));
  dht::FetchOptions fetch;
  fetch.program = fleet_.Program("shoal-fetch");
  fetch.listen = "127.0.0.1:0";
  fetch.state_dir = fleet_.Path("swarm");
  fetch_ = std::make_unique<agent::LazyFetch>(std::move(fetch), SystemClock());
  world_.fetch = fetch_.get();
  artifacts_ = std::make_unique<Artifacts>(fleet_.Path("artifacts"),
                                           fleet_.Program("shoal-patch"));
  world_.artifacts = artifacts_.get();
  sockets_ = std::make_unique<Sockets>(
      options_.devices, options_.devices_per_socket, options_.flash);
  world_.sockets = sockets_.get();
  report_.sockets = sockets_->count();
  world_.wake = [this](size_t device) {
    if (scheduler_ && device < devices_.size()) scheduler_->Wake(device);
  };
  return Manufacture();
}

absl::Status Simulation::Manufacture() {
  for (uint32_t i = 0; i < options_.devices; ++i)
    devices_.push_back(std::make_unique<SimDevice>(i, &world_));
  std::vector<std::string> keys;
  for (uint32_t i = 0; i < options_.devices; ++i) {
    SHOAL_RETURN_IF_ERROR(devices_[i]->Manufacture());
    keys.push_back(devices_[i]->public_key());
    if (i % 100 == 0)
      Say(fmt::format("making devices: {} of {}", i, options_.devices), false);
  }
  Say("telling the plane of them", false);
  return fleet_.Preauthorize(keys);
}

Simulation::Readings Simulation::Read() {
  Readings now;
  now.at = Now();
  const auto measure = [](const Daemon& daemon) {
    return Measure(daemon.process->pid(), daemon.metrics, daemon.directory);
  };
  now.plane = measure(fleet_.plane());
  for (const Daemon& node : fleet_.nodes()) now.nodes.push_back(measure(node));
  now.simulator = MeasureSelf();
  now.udp_in = sockets_->bytes_in();
  now.udp_out = sockets_->bytes_out();
  return now;
}

Costs Simulation::CostsSince(const Readings& before) {
  const Readings now = Read();
  Costs costs;
  costs.seconds = absl::ToDoubleSeconds(now.at - before.at);
  costs.plane = Since(before.plane, now.plane);
  for (size_t i = 0; i < now.nodes.size(); ++i)
    costs.nodes.push_back(Since(before.nodes[i], now.nodes[i]));
  costs.simulator = Since(before.simulator, now.simulator);
  costs.device_udp_in = now.udp_in - before.udp_in;
  costs.device_udp_out = now.udp_out - before.udp_out;
  return costs;
}

absl::Status Simulation::PairAll(const std::atomic<bool>& stop) {
  const Readings before = Read();
  scheduler_ = std::make_unique<Scheduler>(
      devices_.size(), options_.threads,
      [this](size_t device) { return devices_[device]->Work(); });
  const absl::Duration end = Now() + options_.time_limit;
  size_t paired = 0;
  for (;;) {
    SHOAL_RETURN_IF_ERROR(StillRuns(stop));
    paired = static_cast<size_t>(
        std::count_if(devices_.begin(), devices_.end(),
                      [](const auto& device) { return device->paired(); }));
    const size_t spooled = sockets_->spooled();
    Say(fmt::format("pairing: {} of {}, {} records on the way", paired,
                    devices_.size(), spooled),
        false);
    if (paired == devices_.size() && spooled == 0 && scheduler_->Late() == 0)
      break;
    if (Now() > end) {
      std::string why;
      for (const auto& device : devices_)
        if (!device->paired() && !device->last_trouble().empty())
          why = device->last_trouble();
      return MakeError(absl::StatusCode::kDeadlineExceeded, "not_paired",
                       fmt::format("{} of {} devices are in the fleet. {}",
                                   paired, devices_.size(), why));
    }
    absl::SleepFor(absl::Milliseconds(200));
  }
  report_.pairing = CostsSince(before);
  report_.restarted_pairings = world_.switched_off_and_on;
  Say(fmt::format("{} devices are in the fleet after {:.1f} s, {} times one "
                  "was switched off and on",
                  paired, report_.pairing.seconds, report_.restarted_pairings),
      true);
  return absl::OkStatus();
}

absl::Status Simulation::Idle(const std::atomic<bool>& stop) {
  const Readings before = Read();
  const absl::Duration end = Now() + kIdleTime;
  while (Now() < end) {
    SHOAL_RETURN_IF_ERROR(StillRuns(stop));
    Say("doing nothing, to see what that costs", false);
    absl::SleepFor(absl::Milliseconds(200));
  }
  report_.idle = CostsSince(before);
  return absl::OkStatus();
}

Sample Simulation::Look() {
  Sample sample;
  sample.seconds = absl::ToDoubleSeconds(Now() - rollout_began_);
  for (const auto& device : devices_) {
    if (device->updated())
      ++sample.updated;
    else if (device->failed())
      ++sample.failed;
    else
      ++sample.states[static_cast<size_t>(device->state())];
  }
  sample.late = static_cast<uint32_t>(scheduler_->Late());
  const auto metrics = ReadMetrics(fleet_.plane().metrics);
  if (!metrics.ok()) return sample;
  const auto get = [&](const std::string& name, double otherwise) {
    const auto it = metrics->find(name);
    return it == metrics->end() ? otherwise : it->second;
  };
  const auto outcomes = [&](std::string_view result) {
    return static_cast<uint32_t>(get(
        fmt::format("shoald_rollout_outcomes{{rollout=\"{}\",result=\"{}\"}}",
                    kRollout, result),
        0));
  };
  sample.counted = outcomes("succeeded");
  sample.counted_failed = outcomes("failed");
  sample.open_phase = static_cast<int>(
      get(fmt::format("shoald_rollout_open_phase{{rollout=\"{}\"}}", kRollout),
          -1));
  sample.plane_cpu = get("process_cpu_seconds_total", 0);
  sample.plane_resident =
      static_cast<uint64_t>(get("process_resident_memory_bytes", 0));
  return sample;
}

std::string Simulation::Progress(const Sample& s) const {
  std::string line = fmt::format(
      "{:>5.0f} s  phase {}/{}  updated {} failed {} of {}  counted {}",
      s.seconds, s.open_phase + 1, options_.phases.size(), s.updated, s.failed,
      devices_.size(), s.counted + s.counted_failed);
  for (const DeviceState state :
       {DeviceState::kDownloading, DeviceState::kInstalling,
        DeviceState::kRestarting, DeviceState::kReporting, DeviceState::kOff})
    if (const uint32_t n = s.states[static_cast<size_t>(state)]; n > 0)
      line += fmt::format("  {} {}", DeviceStateName(state), n);
  if (s.late > devices_.size() / 10)
    line += fmt::format("  ({} wait for this machine)", s.late);
  return line;
}

std::vector<Knowledge> Simulation::Known() const {
  std::vector<Knowledge> known;
  for (const auto& device : devices_) known.push_back(device->knowledge());
  return known;
}

// `before`: how often each device had looked when something changed last.
bool Simulation::Stalled(absl::Duration quiet,
                         const std::vector<Knowledge>& before) {
  if (quiet < kStalled) return false;
  if (quiet > kHanging) return true;
  std::map<std::string, uint64_t> looks;
  for (const Knowledge& device : before) looks[device.device_id] = device.looks;
  std::lock_guard lock(world_.facts_mutex);
  for (const Knowledge& device : WhoseTurnItIs(Known(), world_.facts))
    if (device.looks < looks[device.device_id] + kLooks) return false;
  return true;
}

void Simulation::SayStall(absl::Duration quiet) {
  {
    std::lock_guard lock(world_.facts_mutex);
    report_.stall = ExplainStall(Known(), world_.facts, Now());
  }
  report_.stall.insert(
      report_.stall.begin(),
      fmt::format("nothing went on for {:.0f} s; {} records wait for receipts, "
                  "{} devices for this machine",
                  absl::ToDoubleSeconds(quiet), sockets_->spooled(),
                  scheduler_->Late()));
  for (const std::string& line : report_.stall) Say(line, true);
}

absl::Status Simulation::RollOut(const std::atomic<bool>& stop) {
  const Readings before = Read();
  rollout_began_ = Now();
  rollout_wall_ = absl::Now();
  SHOAL_RETURN_IF_ERROR(fleet_.CreateRollout(RolloutYaml(
      options_, fmt::format("{}/{}", kDeviceType, kNewVersion), kRollout)));
  world_.rollout = true;
  for (size_t i = 0; i < devices_.size(); ++i) scheduler_->Wake(i);
  bool published = false;
  absl::Duration last_change = Now();
  std::vector<Knowledge> known = Known();
  for (;;) {
    SHOAL_RETURN_IF_ERROR(StillRuns(stop));
    Sample sample = Look();
    if (report_.samples.empty() ||
        report_.samples.back().states != sample.states ||
        report_.samples.back().counted != sample.counted ||
        report_.samples.back().open_phase != sample.open_phase) {
      last_change = Now();
      known = Known();
    }
    // The plane shows rollouts that have not ended.
    const bool shown = sample.open_phase >= 0;
    if (shown) {
      published = true;
      report_.samples.push_back(sample);
    }
    Say(Progress(sample), false);
    if (published && !shown && ReadMetrics(fleet_.plane().metrics).ok()) break;
    if (Now() - rollout_began_ > options_.time_limit ||
        (published && Stalled(Now() - last_change, known))) {
      SayStall(Now() - last_change);
      break;
    }
    absl::SleepFor(kSamplePause);
  }
  report_.rollout = CostsSince(before);
  Sample last = Look();
  last.open_phase = static_cast<int>(options_.phases.size()) - 1;
  last.counted = last.updated;
  last.counted_failed = last.failed;
  report_.samples.push_back(last);
  Say(Progress(last), true);
  return absl::OkStatus();
}

absl::Status Simulation::Judge() {
  // Outcomes of the last seconds may still be on their way.
  PlaneAccount account;
  std::vector<Truth> truths;
  const absl::Duration end = Now() + kSettle;
  for (;;) {
    SHOAL_ASSIGN_OR_RETURN(const std::string json, fleet_.GetRollout());
    SHOAL_ASSIGN_OR_RETURN(account, ParseAccount(json));
    truths.clear();
    size_t did = 0;
    for (const auto& device : devices_) {
      truths.push_back(device->truth());
      did += !truths.back().attempts.empty();
    }
    if ((did == account.outcomes.size() && sockets_->spooled() == 0) ||
        Now() > end)
      break;
    absl::SleepFor(absl::Milliseconds(500));
  }
  scheduler_->Stop();
  for (size_t i = 0; i < devices_.size(); ++i) {
    truths[i] = devices_[i]->truth();
    SHOAL_ASSIGN_OR_RETURN(truths[i].committed_sha256,
                           devices_[i]->CommittedDigest());
    if (truths[i].attempts.empty()) continue;
    const Attempt& attempt = truths[i].attempts.back();
    ++(attempt.success ? report_.updated : report_.failed);
    report_.by_delta += attempt.used_delta;
  }
  std::lock_guard lock(world_.facts_mutex);
  report_.violations = Violations(truths, account, world_.facts);
  report_.state = account.state;
  for (const auto& [phase, opened] : world_.facts.opened_ms)
    report_.phase_marks.push_back(
        {std::max(0.0, absl::ToDoubleSeconds(absl::FromUnixMillis(opened) -
                                             rollout_wall_)),
         fmt::format("phase {}", phase + 1)});
  if (report_.state != "ROLLOUT_STATE_FINISHED")
    report_.violations.push_back(
        fmt::format("the rollout is in {} and not finished", report_.state));
  return absl::OkStatus();
}

absl::StatusOr<Report> Simulation::Run(const std::atomic<bool>& stop) {
  SHOAL_RETURN_IF_ERROR(SetUp());
  SHOAL_RETURN_IF_ERROR(PairAll(stop));
  SHOAL_RETURN_IF_ERROR(Idle(stop));
  SHOAL_RETURN_IF_ERROR(RollOut(stop));
  SHOAL_RETURN_IF_ERROR(Judge());
  return report_;
}

}  // namespace shoal::sim
