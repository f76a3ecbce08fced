// shoal-agent install: a signed artifact from a directory, without a network.
#include <fmt/format.h>

#include <atomic>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/cli/command.h"
#include "agent/engine/engine.h"
#include "agent/engine/health.h"
#include "agent/engine/offline_install.h"
#include "agent/install/slots.h"
#include "agent/link/requests.h"
#include "agent/state/identity.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

absl::StatusOr<InstallAnswer> InstallHere(const AgentConfig& config,
                                          const OfflineRequest& request,
                                          bool* restart) {
  FileSystem& fs = RealFileSystem();
  Clock& clock = SystemClock();
  SHOAL_ASSIGN_OR_RETURN(
      const std::unique_ptr<DeviceState> state,
      DeviceState::Open(fs, JoinPath(config.StateDirectory(), "journal.json")));
  FileSlots slots(fs, config.data_directory);
  Components components(config, clock);
  EngineOptions o;
  o.fs = &fs;
  o.clock = &clock;
  o.state = state.get();
  o.slots = &slots;
  o.download_directory = config.DownloadDirectory();
  o.patch_program = JoinPath(config.program_directory, "shoal-patch");
  o.boot_tries = config.boot_tries;
  o.fetch = [](const ArtifactSource&, const std::string&, Substitute,
               const std::atomic<bool>&) -> absl::StatusOr<FetchStats> {
    return Unavailable("no_source", "offline: the bytes are not at hand");
  };
  o.patch = [](const PatchJob& job, const PatchProgress& progress) {
    return RunPatch(job, progress);
  };
  o.component = [&components](const ComponentUpdate& update,
                              ComponentAction action, const std::string& file) {
    return components.Run(update, action, file);
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
  SHOAL_ASSIGN_OR_RETURN(OfflineResult result,
                         BeginOfflineInstall(config, request, fs, clock, *state,
                                             slots, components, engine));
  InstallAnswer answer{absl::OkStatus(), result};
  if (result.up_to_date) return answer;
  const auto next = engine.Run();
  const StateData after = state->Get();
  const auto& done = after.update ? after.update : after.last_update;
  if (done && (done->result == UpdateResult::kFailed ||
               done->result == UpdateResult::kRolledBack))
    return MakeError(absl::StatusCode::kDataLoss, done->reason, done->message);
  // Components alone need no restart; a paired device's daemon reports it.
  if (done && done->result == UpdateResult::kSuccess) return answer;
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

}  // namespace

void AddInstallCommand(CLI::App& app, Shared& shared, Commands& commands) {
  struct Flags {
    OfflineRequest request;
    std::string fleet_hex;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* install = app.add_subcommand(
      "install", "Install from a signed repository directory, offline");
  AddConfig(install, shared)->required();
  install->add_option("--version", flags->request.version,
                      "Version; without it the newest");
  install->add_option("--fleet-id", flags->fleet_hex,
                      "64 hex digits, when unpaired");
  AddOutput(install, shared);
  install->add_option("directory", flags->request.directory, "Repository")
      ->required()
      ->check(CLI::ExistingDirectory);
  commands.push_back({install, [flags, &shared] {
                        const auto config = shared.Config();
                        if (!config.ok())
                          return PrintError(config.status(), shared.as_json());
                        const auto fleet = HexDecode(flags->fleet_hex);
                        if (!fleet.ok())
                          return PrintError(fleet.status(), shared.as_json());
                        flags->request.fleet_id = *fleet;
                        return Install(*config, flags->request,
                                       shared.as_json());
                      }});
}

}  // namespace shoal::agent
