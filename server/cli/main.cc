// shoal: the fleet tool. docs/cli.md is its manual.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "server/cli/commands.h"
#include "server/cli/exit_code.h"

int main(int argc, char** argv) {
  // `shoal telemetry tail | head` ends quietly.
  std::signal(SIGPIPE, SIG_DFL);
  shoal::InitLog("shoal", "warn");
  // gRPC's own lines would stand beside the tool's error; it says the same.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  try {
    shoal::cli::Program program(
        shoal::RealFileSystem(), shoal::SystemClock(),
        {std::cout, std::cerr, isatty(STDOUT_FILENO) == 1,
         isatty(STDERR_FILENO) == 1,
         isatty(STDIN_FILENO) == 1 ? &std::cin : nullptr});
    return shoal::cli::RunTool(argc, argv, program);
  } catch (const std::exception& error) {
    std::cerr << "shoal: " << error.what() << "\n";
    return shoal::cli::kExitFailed;
  }
}
