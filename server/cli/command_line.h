// For the files of commands: CLI11 and one helper.
#ifndef SHOAL_SERVER_CLI_COMMAND_LINE_H_
#define SHOAL_SERVER_CLI_COMMAND_LINE_H_

#include <CLI/CLI.hpp>
#include <memory>

#include "server/cli/commands.h"
#include "server/cli/program.h"

namespace shoal::cli {

// When the command line chooses `command`, `run` is called with the options
// that were parsed into `options`.
template <typename Options>
void OnRun(CLI::App* command, Program& program,
           std::shared_ptr<Options> options,
           absl::Status (*run)(Program&, const Options&)) {
  command->callback([&program, options, run] {
    program.Choose([&program, options, run] { return run(program, *options); });
  });
}

struct NoOptions {};

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_COMMAND_LINE_H_
