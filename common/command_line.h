// What a program does with its command line: one meaning of the exit codes for
// all of them. --help and --version end with 0; misuse prints what is wrong
// and ends with kExitUsage, as the shell's own commands do.
#ifndef SHOAL_COMMON_COMMAND_LINE_H_
#define SHOAL_COMMON_COMMAND_LINE_H_

#include <CLI/CLI.hpp>
#include <optional>

namespace shoal {

inline constexpr int kExitUsage = 2;

// Nothing: go on. A number: the program's exit code; all is said already.
inline std::optional<int> ParseCommandLine(CLI::App& app, int argc,
                                           const char* const* argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  return std::nullopt;
}

}  // namespace shoal

#endif  // SHOAL_COMMON_COMMAND_LINE_H_
