// shoal-agent: the device's daemon; its few commands are in agent/cli.
#include <malloc.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <iostream>
#include <string>

#include "agent/cli/command.h"
#include "agent/link/agent.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/log.h"

namespace shoal::agent {
namespace {

std::atomic<bool> stop{false};
void OnSignal(int) { stop = true; }

int Daemon(const AgentConfig& config) {
  InitLog("shoal-agent", config.log_level);
  // Small and steady matters more here than threads that allocate at once: one
  // arena instead of eight for each core, and what is free goes back.
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TRIM_THRESHOLD, 64 << 10);
  ::mallopt(M_MMAP_THRESHOLD, 64 << 10);
  struct sigaction action {};
  action.sa_handler = OnSignal;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  auto agent = Agent::Create(config, RealFileSystem(), SystemClock());
  if (!agent.ok()) {
    LogError("stopped", {{"error", agent.status()}});
    return 1;
  }
  return (*agent)->Run(stop);
}

int Main(int argc, char** argv) {
  CLI::App app("Shoal's device agent: decides, verifies, switches");
  app.footer(
      "Examples:\n"
      "  shoal-agent init --data /var/lib/shoal --type gateway --ticket-file "
      "t\n"
      "  shoal-agent --config /var/lib/shoal/agent.toml\n"
      "  shoal-agent install --config /var/lib/shoal/agent.toml "
      "/media/usb/repo\n"
      "  shoal-agent postpone --config /var/lib/shoal/agent.toml --for 4h r-7\n"
      "  shoal-agent rotate-key --config /var/lib/shoal/agent.toml\n"
      "  shoal-agent status --config /var/lib/shoal/agent.toml --output json");
  Shared shared;
  bool check = false;
  AddConfig(&app, shared);
  app.add_flag("--check-config", check, "Read the configuration and stop");
  Commands commands;
  AddInitCommand(app, shared, commands);
  AddInstallCommand(app, shared, commands);
  AddStatusCommands(app, shared, commands);
  AddIdentityCommands(app, shared, commands);
  AddPairCommand(app, shared, commands);
  AddRolloutCommands(app, shared, commands);
  if (const auto code = shoal::ParseCommandLine(app, argc, argv)) return *code;

  InitLog("shoal-agent", "warn");
  for (const Command& command : commands)
    if (*command.app) return command.run();
  if (shared.config_path.empty()) {
    std::cerr << "shoal-agent: --config is needed (see --help)\n";
    return kExitUsage;
  }
  const auto config = shared.Config();
  if (!config.ok()) return PrintError(config.status(), false);
  if (check) {
    std::cout << shared.config_path << " is fine.\n";
    return 0;
  }
  return Daemon(*config);
}

}  // namespace
}  // namespace shoal::agent

int main(int argc, char** argv) { return shoal::agent::Main(argc, argv); }
