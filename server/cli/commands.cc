#include "server/cli/commands.h"

#include <CLI/CLI.hpp>
#include <sstream>

#include "server/cli/exit_code.h"

namespace shoal::cli {

CLI::App* AddGroup(CLI::App& app, const std::string& name,
                   const std::string& description) {
  CLI::App* group = app.add_subcommand(name, description);
  group->require_subcommand(1);
  return group;
}

CLI::App* AddCommand(CLI::App& group, const std::string& name,
                     const std::string& description,
                     const std::string& examples) {
  CLI::App* command = group.add_subcommand(name, description);
  std::istringstream lines(examples);
  std::string footer = "Examples:";
  for (std::string line; std::getline(lines, line);) {
    footer += "\n  shoal " + line;
  }
  command->footer(footer);
  return command;
}

void AddCommands(CLI::App& app, Program& program) {
  app.description(
      "The fleet tool: releases, rollouts, devices and policies of a Shoal "
      "fleet.");
  app.footer(
      "Start:\n"
      "  shoal operator create alice --out alice\n"
      "  shoal context add home --server 127.0.0.1:7443 --server-cert "
      "server.crt --operator alice\n"
      "  shoal device list\n"
      "Exit codes: 0 ok, 1 failed, 2 usage, 3 not reachable, 4 denied, 5 not "
      "found.");
  app.require_subcommand(1);
  // The options below may stand before or behind the command.
  app.fallthrough();
  GlobalOptions& options = program.options();
  app.add_option("--context-dir", options.context_dir,
                 "Where contexts are kept [SHOAL_CONTEXT_DIR or "
                 "~/.config/shoal]");
  app.add_option("--context", options.context,
                 "The context to use instead of the current one")
      ->envname("SHOAL_CONTEXT");
  app.add_option("-o,--output", options.output_name, "table, json or yaml")
      ->check(CLI::IsMember({"table", "json", "yaml"}))
      ->each([&options](const std::string& value) {
        options.output = value == "json"   ? Format::kJson
                         : value == "yaml" ? Format::kYaml
                                           : Format::kTable;
      });
  AddOperatorCommands(app, program);
  AddContextCommands(app, program);
  AddNodeCommands(app, program);
  AddTrustCommands(app, program);
  AddDeviceCommands(app, program);
  AddEnrolmentCommands(app, program);
  AddGroupCommands(app, program);
  AddReleaseCommands(app, program);
  AddRolloutCommands(app, program);
  AddPolicyCommands(app, program);
  AddCommandCommands(app, program);
  AddLogCommands(app, program);
  AddTelemetryCommands(app, program);
  AddCompletionCommands(app, program);
}

int RunTool(int argc, const char* const* argv, Program& program) {
  CLI::App app("", "shoal");
  AddCommands(app, program);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out, err;
    const int code = app.exit(error, out, err);
    program.streams().out << out.str();
    program.streams().err << err.str();
    return code == 0 ? kExitOk : kExitUsage;
  }
  const absl::Status status = program.Run();
  program.streams().out << std::flush;
  if (!status.ok()) program.streams().err << FormatError(status);
  return ExitCodeOf(status);
}

}  // namespace shoal::cli
