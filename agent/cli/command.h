// The commands of shoal-agent: each file adds its own to the command line.
#ifndef SHOAL_AGENT_CLI_COMMAND_H_
#define SHOAL_AGENT_CLI_COMMAND_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/state/agent_config.h"

namespace shoal::agent {

// Options that several commands have.
struct Shared {
  std::string config_path;
  std::string output = "text";
  bool as_json() const { return output == "json"; }
  absl::StatusOr<AgentConfig> Config() const {
    return AgentConfig::Load(config_path);
  }
};

struct Command {
  CLI::App* app;             // chosen when it is true
  std::function<int()> run;  // the exit code
};
using Commands = std::vector<Command>;

// `shared` outlives the commands.
void AddInitCommand(CLI::App& app, Shared& shared, Commands& commands);
void AddInstallCommand(CLI::App& app, Shared& shared, Commands& commands);
void AddStatusCommands(CLI::App& app, Shared& shared, Commands& commands);
void AddRolloutCommands(CLI::App& app, Shared& shared, Commands& commands);
void AddIdentityCommands(CLI::App& app, Shared& shared, Commands& commands);
void AddPairCommand(CLI::App& app, Shared& shared, Commands& commands);

CLI::Option* AddConfig(CLI::App* command, Shared& shared);
void AddOutput(CLI::App* command, Shared& shared,
               std::vector<std::string> forms = {"text", "json"});

// As JSON on standard output, else as text on standard error; 1.
int PrintError(const absl::Status& status, bool as_json);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_CLI_COMMAND_H_
