// A question before what can't be taken back.
#ifndef SHOAL_SERVER_CLI_CONFIRM_H_
#define SHOAL_SERVER_CLI_CONFIRM_H_

#include <string_view>

#include "absl/status/status.h"
#include "server/cli/program.h"

namespace shoal::cli {

// OK with `yes` (of --yes), or when somebody at the terminal answers "yes" or
// "y". kCancelled "not_confirmed" on another answer; a usage error that names
// --yes when nobody is there to ask.
absl::Status Confirm(Program& program, std::string_view question, bool yes);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_CONFIRM_H_
