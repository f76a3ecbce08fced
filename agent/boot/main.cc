// shoal-boot: the boot loader of file slots. Each turn of its loop is one boot
// of the device: choose the slot, count a try, note what runs, start the
// agent. The agent's exit code 64 asks for a restart; any other end but 0 is
// taken as a reset (what a watchdog does on real hardware).
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <iostream>
#include <string>
#include <vector>

#include "agent/boot/boot_env.h"
#include "agent/boot/boot_pace.h"
#include "agent/engine/health.h"
#include "agent/install/slots.h"
#include "agent/state/agent_config.h"
#include "common/command_line.h"
#include "common/files.h"
#include "common/log.h"
#include "common/status.h"
#include "common/subprocess.h"

namespace shoal::agent {
namespace {

std::atomic<int> stop_signal{0};
void OnSignal(int signal) { stop_signal = signal; }

// Sleeps, but not past a signal.
void Pause(absl::Duration time) {
  const absl::Time until = absl::Now() + time;
  while (stop_signal == 0 && absl::Now() < until)
    absl::SleepFor(absl::Milliseconds(20));
}

// True when the slot's image starts: [slots] start, if there is one. This
// stands where a kernel either comes up or does not.
bool ImageStarts(const AgentConfig& config, FileSlots& slots) {
  if (config.boot_start.empty()) return true;
  const auto running = slots.Running();
  if (!running.ok()) {
    LogError("boot_failed", {{"error", running.status()}});
    return false;
  }
  const HealthResult result =
      RunHealthCheck(config.boot_start, absl::Seconds(60), *running);
  if (!result.healthy)
    LogWarn("boot_failed", {{"slot", running->slot},
                            {"version", running->info.version},
                            {"output", result.output}});
  return result.healthy;
}

absl::StatusOr<ExitStatus> RunAgent(const AgentConfig& config,
                                    const RunningSlot& slot) {
  SubprocessOptions options;
  options.arguments = {JoinPath(ProgramDirectory(), "shoal-agent"), "--config",
                       config.path};
  SHOAL_ASSIGN_OR_RETURN(Subprocess agent, Subprocess::Start(options));
  LogInfo("agent_started", {{"slot", slot.slot}, {"pid", agent.pid()}});
  bool told = false;
  for (;;) {
    if (auto status = agent.Poll()) return *status;
    if (stop_signal != 0 && !told) {
      agent.Signal(stop_signal);
      told = true;
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
}

absl::Status Loop(const AgentConfig& config) {
  FileSystem& fs = RealFileSystem();
  const std::string directory = JoinPath(config.data_directory, "boot");
  FileSlots slots(fs, config.data_directory);
  BootPace pace;
  while (stop_signal == 0) {
    SHOAL_ASSIGN_OR_RETURN(const RunningSlot slot, BootOnce(fs, directory));
    LogInfo("boot", {{"slot", slot.slot},
                     {"trial", slot.trial},
                     {"count", slot.boot_count}});
    if (!ImageStarts(config, slots)) {
      // A trial is tried again until its tries are used up; with the committed
      // image the agent is started all the same: it is what can still help.
      if (slot.trial) continue;
    }
    const absl::Time began = absl::Now();
    const auto end = RunAgent(config, slot);
    if ((end.ok() && end->ok()) || stop_signal != 0) return absl::OkStatus();
    const bool asked = end.ok() && end->exited && end->code == kRebootExitCode;
    const absl::Duration pause = pace.After(absl::Now() - began, asked);
    if (asked)
      LogInfo("reboot",
              {{"slot", slot.slot}, {"pause", absl::FormatDuration(pause)}});
    else if (end.ok())
      LogWarn("reset", {{"slot", slot.slot},
                        {"agent", end->ToString()},
                        {"pause", absl::FormatDuration(pause)}});
    else  // It can't even be started; a trial's tries are used up all the same.
      LogError("reset", {{"slot", slot.slot},
                         {"error", end.status()},
                         {"pause", absl::FormatDuration(pause)}});
    Pause(pause);
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("Boots a device with file slots and starts its agent");
  std::string path;
  bool check = false;
  app.add_option("--config", path, "agent.toml")->required();
  app.add_flag("--check-config", check, "Read the configuration and stop");
  app.footer("Example:\n  shoal-boot --config /var/lib/shoal/agent.toml");
  if (const auto code = shoal::ParseCommandLine(app, argc, argv)) return *code;
  const auto config = AgentConfig::Load(path);
  if (!config.ok()) {
    InitLog("shoal-boot");
    LogError("bad_config", {{"error", config.status()}});
    return 1;
  }
  if (check) {
    std::cout << path << " is fine.\n";
    return 0;
  }
  InitLog("shoal-boot", config->log_level);
  struct sigaction action {};
  action.sa_handler = OnSignal;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  const absl::Status status = Loop(*config);
  if (!status.ok()) LogError("stopped", {{"error", status}});
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace shoal::agent

int main(int argc, char** argv) { return shoal::agent::Main(argc, argv); }
