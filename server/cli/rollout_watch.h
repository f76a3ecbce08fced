#ifndef SHOAL_SERVER_CLI_ROLLOUT_WATCH_H_
#define SHOAL_SERVER_CLI_ROLLOUT_WATCH_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/cli/program.h"
#include "shoal/rollout/v1/rollout_service.pb.h"

namespace shoal::cli {

// Shows a rollout until `done` says so, its state is final or `timeout` has
// passed (kDeadlineExceeded "timeout"). On a terminal the view is drawn over;
// elsewhere a line for each change; in JSON an object a line. While shoald is
// away it says so and goes on once it is back. `last`: the last one seen.
absl::Status FollowRollout(
    Program& program, const std::string& name, absl::Duration timeout,
    const std::function<bool(const rollout::v1::Rollout&)>& done,
    rollout::v1::Rollout* last);

// OK when it finished, else "rollout_failed" or "rollout_halted".
absl::Status ResultOf(const rollout::v1::Rollout& rollout);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_ROLLOUT_WATCH_H_
