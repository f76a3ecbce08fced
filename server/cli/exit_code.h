// What the tool answers to its caller: one number a script can branch on, and
// a sentence that says what to do next.
#ifndef SHOAL_SERVER_CLI_EXIT_CODE_H_
#define SHOAL_SERVER_CLI_EXIT_CODE_H_

#include <string>

#include "absl/status/status.h"

namespace shoal::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnreachable = 3;
inline constexpr int kExitDenied = 4;
inline constexpr int kExitNotFound = 5;

// A wrong command line or a value on it: ends with kExitUsage.
absl::Status UsageError(std::string_view message);

// Errors of local files ("io_…") are kExitFailed whatever their code: the
// numbers above speak of the fleet.
int ExitCodeOf(const absl::Status& status);

// "" when there is nothing better to say than the message.
std::string HintFor(const absl::Status& status);

// "shoal: MESSAGE (reason)\n  hint\n"
std::string FormatError(const absl::Status& status);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_EXIT_CODE_H_
