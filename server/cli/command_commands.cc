// shoal command run.
#include <fmt/format.h>

#include "common/bytes.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/exit_code.h"
#include "server/cli/parse.h"
#include "server/cli/remote_command.h"

namespace shoal::cli {
namespace {

struct RunOptions {
  std::string device;
  std::string name;
  std::vector<std::string> arguments;
  std::string timeout = "60s";
};

// Output is text here, not hex: that is what programs on devices print.
std::string ResultJson(const records::v1::CommandResult& result) {
  return JsonObject()
      .Text("command_id", HexEncode(result.command_id()))
      .Text("device_id", HexEncode(result.device_id()))
      .Text("reason", result.reason())
      .Text("message", result.message())
      .Raw("exit_code", std::to_string(result.exit_code()))
      .Text("output", result.output())
      .Raw("started", std::to_string(result.started()))
      .Raw("finished", std::to_string(result.finished()))
      .ToString();
}

absl::Status RunCommandOn(Program& program, const RunOptions& options) {
  CommandSpec spec;
  SHOAL_ASSIGN_OR_RETURN(spec.device_id, DeviceIdOf(options.device));
  SHOAL_ASSIGN_OR_RETURN(spec.timeout, ParseDuration(options.timeout));
  if (spec.timeout > kLongestCommand) {
    return UsageError("a command lives 15 minutes at most");
  }
  if (!IsIdentifier(options.name)) {
    return UsageError(fmt::format("'{}' is no command name", options.name));
  }
  spec.name = options.name;
  spec.arguments = options.arguments;
  SHOAL_ASSIGN_OR_RETURN(
      const auto session,
      RecordsSession::Open(program, std::min(spec.timeout, absl::Seconds(15))));
  SHOAL_ASSIGN_OR_RETURN(
      const auto result,
      RunRemoteCommand(
          *session, spec, program.clock(), [&](const dht::PutResult& put) {
            program.Remark(
                fmt::format("sent: {} of {} storage nodes have it on disk",
                            put.receipts, put.wanted));
          }));
  const bool terminal = program.streams().out_is_terminal;
  if (program.json()) {
    program.PrintJson(ResultJson(result));
  } else {
    program.PrintText(terminal ? Printable(result.output(), /*keep_lines=*/true)
                               : result.output());
  }
  return StatusOfResult(result);
}

}  // namespace

void AddCommandCommands(CLI::App& app, Program& program) {
  CLI::App* group = AddGroup(app, "command", "Commands on devices");
  auto options = std::make_shared<RunOptions>();
  CLI::App* run = AddCommand(
      *group, "run",
      "Run a command that the device's own configuration names; works with "
      "shoald down. The device's policy decides",
      "command run 0123456789abcdef0123456789abcdef uptime\n"
      "command run 0123456789abcdef0123456789abcdef logs --timeout 2m -- "
      "--lines 50");
  run->add_option("device", options->device, "Device id")->required();
  run->add_option("name", options->name, "The command's name")->required();
  run->add_option("arguments", options->arguments,
                  "Its arguments; behind -- when they begin with a dash");
  run->add_option("--timeout", options->timeout,
                  "How long to wait for the answer, at most 15m [60s]");
  OnRun(run, program, options, RunCommandOn);
}

}  // namespace shoal::cli
