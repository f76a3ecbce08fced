// shoal-agent: the device's daemon and its few commands.
#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/boot/boot_env.h"
#include "agent/engine/health.h"
#include "agent/link/agent.h"
#include "agent/link/pairing.h"
#include "agent/link/requests.h"
#include "agent/status.h"
#include "agent/status_metrics.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

std::atomic<bool> stop{false};
void OnSignal(int) { stop = true; }

int PrintError(const absl::Status& status, bool as_json) {
  if (as_json)
    std::cout << nlohmann::json{{"result", "refused"},
                                {"reason", ReasonOf(status)},
                                {"message", std::string(status.message())}}
                     .dump(2, ' ', false,
                           nlohmann::json::error_handler_t::replace)
              << "\n";
  else
    std::cerr << "shoal-agent: " << ReasonOf(status) << ": "
              << std::string(status.message()) << "\n";
  return 1;
}

struct InitFlags {
  std::string data, type, ticket, ticket_file, image, version = "factory",
                                                      fleet_id;
};

absl::Status Init(const InitFlags& flags) {
  FileSystem& fs = RealFileSystem();
  if (!IsIdentifier(flags.type))
    return InvalidArgument("bad_config", "--type must be an identifier");
  if (!IsIdentifier(flags.version))
    return InvalidArgument("bad_config", "--image-version: an identifier");
  const std::string config_path = JoinPath(flags.data, "agent.toml");
  if (fs.Exists(config_path))
    return MakeError(absl::StatusCode::kAlreadyExists, "already_initialised",
                     config_path + " exists");
  std::string ticket = flags.ticket;
  if (!flags.ticket_file.empty()) {
    SHOAL_ASSIGN_OR_RETURN(ticket, fs.Read(flags.ticket_file, 8192));
  }
  if (!ticket.empty()) SHOAL_RETURN_IF_ERROR(ParseTicket(ticket));
  if (!flags.fleet_id.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string id, HexDecode(flags.fleet_id));
    if (id.size() != 32)
      return InvalidArgument("bad_config", "--fleet-id: 64 hex digits");
  }
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(flags.data, 0755));
  FileSlots slots(fs, flags.data);
  SHOAL_RETURN_IF_ERROR(slots.Initialise(flags.image, flags.version));
  SHOAL_RETURN_IF_ERROR(
      DeviceKeys::LoadOrCreate(fs, JoinPath(flags.data, "state")));
  std::string text = fmt::format(
      "# This device's own configuration; docs/device.md explains every key.\n"
      "data = \".\"\n\n[device]\ntype = \"{}\"\n",
      flags.type);
  if (!flags.fleet_id.empty())
    text += fmt::format("\n[fleet]\nid = \"{}\"\n", flags.fleet_id);
  if (!ticket.empty()) {
    SHOAL_RETURN_IF_ERROR(
        fs.WriteAtomic(JoinPath(flags.data, "ticket"), ticket, 0600));
    text += "\n[pairing]\nticket_file = \"ticket\"\n";
  }
  text +=
      "\n[network]\nbind = \"127.0.0.1:0\"\n"
      "\n[swarm]\nlisten = \"127.0.0.1:0\"\n"
      "\n[update]\nreboot = \"auto\"\n"
      "\n[telemetry]\ninterval = \"60s\"\n";
  // The configuration comes last: with it, everything is there.
  return fs.WriteAtomic(config_path, text);
}

absl::StatusOr<InstallAnswer> InstallHere(const AgentConfig& config,
                                          const OfflineRequest& request,
                                          bool* restart) {
  FileSystem& fs = RealFileSystem();
  Clock& clock = SystemClock();
  SHOAL_ASSIGN_OR_RETURN(
      const std::unique_ptr<DeviceState> state,
      DeviceState::Open(fs, JoinPath(config.StateDirectory(), "journal.json")));
  FileSlots slots(fs, config.data_directory);
  EngineOptions o;
  o.fs = &fs;
  o.clock = &clock;
  o.state = state.get();
  o.slots = &slots;
  o.download_directory = config.DownloadDirectory();
  o.patch_program = JoinPath(config.program_directory, "shoal-patch");
  o.boot_tries = config.boot_tries;
  o.fetch = [](const ArtifactSource&, const std::string&,
               const std::atomic<bool>&) -> absl::StatusOr<FetchStats> {
    return Unavailable("no_source", "offline: the bytes are not at hand");
  };
  o.patch = [](const PatchJob& job, const PatchProgress& progress) {
    return RunPatch(job, progress);
  };
  o.health = [&config](const RunningImage& running) {
    return RunHealthCheck(config.health_command, config.health_timeout,
                          running);
  };
  const auto membership = LoadMembership(fs, config.StateDirectory());
  SHOAL_RETURN_IF_ERROR(membership);
  const bool paired = membership->has_value();
  o.report = [paired](const UpdateRecord&,
                      const RunningImage&) -> absl::Status {
    // The daemon signs and sends it when it runs next.
    if (paired) return Unavailable("no_network", "reported by the daemon");
    return absl::OkStatus();
  };
  Engine engine(std::move(o));
  SHOAL_ASSIGN_OR_RETURN(
      OfflineResult result,
      BeginOfflineInstall(config, request, fs, clock, *state, slots, engine));
  InstallAnswer answer{absl::OkStatus(), result};
  if (result.up_to_date) return answer;
  const auto next = engine.Run();
  const StateData after = state->Get();
  const auto& done = after.update ? after.update : after.last_update;
  if (done && done->result == UpdateResult::kFailed)
    return MakeError(absl::StatusCode::kDataLoss, done->reason, done->message);
  SHOAL_RETURN_IF_ERROR(next);
  *restart = *next == Engine::Next::kReboot;
  return answer;
}

int Install(const AgentConfig& config, OfflineRequest request, bool as_json) {
  FileSystem& fs = RealFileSystem();
  const auto membership = LoadMembership(fs, config.StateDirectory());
  if (!membership.ok()) return PrintError(membership.status(), as_json);
  if (membership->has_value())
    request.fleet_id = (*membership)->fleet_id;
  else if (request.fleet_id.empty())
    request.fleet_id = config.fleet_id;
  bool restart = false;
  const char* outcome = "installed";
  absl::StatusOr<InstallAnswer> answer;
  if (const auto lock = LockData(fs, config); lock.ok()) {
    answer = InstallHere(config, request, &restart);
  } else if (ReasonOf(lock.status()) == "agent_running") {
    // The running agent takes over, restart included.
    answer = AskForInstall(fs, config, request, absl::Seconds(60));
    outcome = "begun";
  } else {
    answer = lock.status();
  }
  if (!answer.ok()) return PrintError(answer.status(), as_json);
  if (!answer->status.ok()) return PrintError(answer->status, as_json);
  if (answer->result.up_to_date) outcome = "up_to_date";
  if (as_json)
    std::cout << nlohmann::json{{"result", outcome},
                                {"version", answer->result.image.version},
                                {"counter", answer->result.image.counter},
                                {"delta", answer->result.with_delta},
                                {"restart_needed", restart}}
                     .dump(2)
              << "\n";
  else if (answer->result.up_to_date)
    std::cout << fmt::format("{} runs already.\n",
                             answer->result.image.version);
  else
    std::cout << fmt::format(
        "{} is verified{}.\n", answer->result.image.version,
        restart ? " and installed; restart the device to try it"
                : "; the running agent installs it");
  return 0;
}

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
      "  shoal-agent status --config /var/lib/shoal/agent.toml --output json");
  std::string config_path, output = "text";
  bool check = false;
  app.add_option("--config", config_path, "agent.toml");
  app.add_flag("--check-config", check, "Read the configuration and stop");

  CLI::App* init = app.add_subcommand("init", "Make a data directory");
  InitFlags flags;
  init->add_option("--data", flags.data, "Directory to make")->required();
  init->add_option("--type", flags.type, "Device type")->required();
  init->add_option("--ticket", flags.ticket, "Claim ticket, SHOAL1-…");
  init->add_option("--ticket-file", flags.ticket_file, "File with the ticket");
  init->add_option("--image", flags.image, "Image that is installed now");
  init->add_option("--image-version", flags.version, "Its version");
  init->add_option("--fleet-id", flags.fleet_id,
                   "Fleet, 64 hex digits, for offline installation unpaired");

  CLI::App* install = app.add_subcommand(
      "install", "Install from a signed repository directory, offline");
  OfflineRequest request;
  std::string fleet_hex;
  install->add_option("--config", config_path, "agent.toml")->required();
  install->add_option("--version", request.version,
                      "Version; without it the newest");
  install->add_option("--fleet-id", fleet_hex, "64 hex digits, when unpaired");
  install->add_option("--output", output, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  install->add_option("directory", request.directory, "Repository")
      ->required()
      ->check(CLI::ExistingDirectory);

  CLI::App* status = app.add_subcommand("status", "Show the device's state");
  status->add_option("--config", config_path, "agent.toml")->required();
  status->add_option("--output", output, "text, json or prometheus")
      ->check(CLI::IsMember({"text", "json", "prometheus"}));

  CLI::App* consent =
      app.add_subcommand("consent", "Consent to a rollout at the device");
  std::string rollout;
  consent->add_option("--config", config_path, "agent.toml")->required();
  consent->add_option("rollout", rollout, "Rollout")->required();
  if (const auto code = shoal::ParseCommandLine(app, argc, argv)) return *code;

  const bool as_json = output == "json";
  InitLog("shoal-agent", "warn");
  if (*init) {
    const absl::Status done = Init(flags);
    if (!done.ok()) return PrintError(done, false);
    std::cout << fmt::format("Ready: shoal-boot --config {}/agent.toml\n",
                             flags.data);
    return 0;
  }
  if (config_path.empty()) {
    std::cerr << "shoal-agent: --config is needed (see --help)\n";
    return kExitUsage;
  }
  const auto config = AgentConfig::Load(config_path);
  if (!config.ok()) return PrintError(config.status(), as_json);
  if (check) {
    std::cout << config_path << " is fine.\n";
    return 0;
  }
  if (*install) {
    const auto fleet = HexDecode(fleet_hex);
    if (!fleet.ok()) return PrintError(fleet.status(), as_json);
    request.fleet_id = *fleet;
    return Install(*config, request, as_json);
  }
  if (*status) {
    FileSystem& fs = RealFileSystem();
    const auto text = as_json                  ? StatusJson(fs, *config)
                      : output == "prometheus" ? StatusMetrics(fs, *config)
                                               : StatusText(fs, *config);
    if (!text.ok()) return PrintError(text.status(), as_json);
    std::cout << *text;
    return 0;
  }
  if (*consent) {
    const absl::Status given = GiveConsent(RealFileSystem(), *config, rollout);
    return given.ok() ? 0 : PrintError(given, false);
  }
  return Daemon(*config);
}

}  // namespace
}  // namespace shoal::agent

int main(int argc, char** argv) { return shoal::agent::Main(argc, argv); }
