#include "server/cli/confirm.h"

#include <fmt/format.h>

#include <string>

#include "common/status.h"
#include "server/cli/exit_code.h"

namespace shoal::cli {

absl::Status Confirm(Program& program, std::string_view question, bool yes) {
  if (yes) return absl::OkStatus();
  if (program.streams().in == nullptr) {
    return UsageError(
        fmt::format("{}: say --yes, since nobody is here to ask", question));
  }
  program.streams().err << question << " [y/N] " << std::flush;
  std::string answer;
  std::getline(*program.streams().in, answer);
  if (answer == "y" || answer == "yes") return absl::OkStatus();
  return MakeError(absl::StatusCode::kCancelled, "not_confirmed",
                   "nothing was changed");
}

}  // namespace shoal::cli
