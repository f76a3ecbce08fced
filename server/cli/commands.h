// The command groups. Each adds its commands to the tool and has them choose
// their action; nothing runs while the command line is read.
#ifndef SHOAL_SERVER_CLI_COMMANDS_H_
#define SHOAL_SERVER_CLI_COMMANDS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "server/cli/program.h"

namespace CLI {
class App;
}

namespace shoal::cli {

// Everything, with the shared options. `program` outlives `app`.
void AddCommands(CLI::App& app, Program& program);

void AddOperatorCommands(CLI::App& app, Program& program);
void AddContextCommands(CLI::App& app, Program& program);
void AddNodeCommands(CLI::App& app, Program& program);
void AddTrustCommands(CLI::App& app, Program& program);
void AddDeviceCommands(CLI::App& app, Program& program);
// Into the group "device": lists, transfers and history.
void AddDeviceListCommands(CLI::App& group, Program& program);
void AddDeviceTransferCommands(CLI::App& group, Program& program);
void AddGroupCommands(CLI::App& app, Program& program);
// More of the group "device", after AddDeviceCommands, and the group "network".
void AddEnrolmentCommands(CLI::App& app, Program& program);
void AddReleaseCommands(CLI::App& app, Program& program);
void AddRolloutCommands(CLI::App& app, Program& program);
void AddPolicyCommands(CLI::App& app, Program& program);
void AddCommandCommands(CLI::App& app, Program& program);
void AddLogCommands(CLI::App& app, Program& program);
void AddTelemetryCommands(CLI::App& app, Program& program);
void AddCompletionCommands(CLI::App& app, Program& program);

// A group ("device") that needs one of its commands.
CLI::App* AddGroup(CLI::App& app, const std::string& name,
                   const std::string& description);
// A command with examples, one a line, without the leading "shoal ".
CLI::App* AddCommand(CLI::App& group, const std::string& name,
                     const std::string& description,
                     const std::string& examples);

// The bash completion script for `app` as it stands.
std::string BashCompletion(const CLI::App& app);

// Parses and runs: the process's exit code. Prints help, errors and hints.
int RunTool(int argc, const char* const* argv, Program& program);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_COMMANDS_H_
