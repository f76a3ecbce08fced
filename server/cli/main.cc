// shoal: the fleet tool. docs/cli.md is its manual.
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "dht/node_client/grpc_threads.h"
#include "server/cli/commands.h"
#include "server/cli/exit_code.h"

namespace {

// Columns of the terminal on standard output; 0: it is none.
size_t TerminalWidth() {
  struct winsize size {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

}  // namespace

int main(int argc, char** argv) {
  // `shoal telemetry tail | head` ends quietly.
  std::signal(SIGPIPE, SIG_DFL);
  shoal::InitLog("shoal", "warn");
  // gRPC's own lines would stand beside the tool's error; it says the same.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  try {
    const shoal::dht::GrpcThreads grpc;
    shoal::cli::Program program(
        shoal::RealFileSystem(), shoal::SystemClock(),
        {std::cout, std::cerr, isatty(STDOUT_FILENO) == 1,
         isatty(STDERR_FILENO) == 1, TerminalWidth(),
         isatty(STDIN_FILENO) == 1 ? &std::cin : nullptr});
    return shoal::cli::RunTool(argc, argv, program);
  } catch (const std::exception& error) {
    std::cerr << "shoal: " << error.what() << "\n";
    return shoal::cli::kExitFailed;
  }
}
