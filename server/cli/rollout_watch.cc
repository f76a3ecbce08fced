#include "server/cli/rollout_watch.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/status.h"
#include "server/cli/exit_code.h"
#include "server/cli/rollout_view.h"

namespace shoal::cli {
namespace {

constexpr absl::Duration kRetry = absl::Seconds(2);

// Draws each view over the one before.
class LiveView {
 public:
  explicit LiveView(std::ostream& out) : out_(out) {}
  void Draw(const std::string& text) {
    if (lines_ > 0) out_ << "\x1b[" << lines_ << "A\x1b[J";
    out_ << text << std::flush;
    lines_ = std::count(text.begin(), text.end(), '\n');
  }

 private:
  std::ostream& out_;
  std::ptrdiff_t lines_ = 0;
};

}  // namespace

absl::Status ResultOf(const rollout::v1::Rollout& rollout) {
  const std::string why =
      rollout.message().empty() ? "" : ": " + rollout.message();
  switch (rollout.state()) {
    case rollout::v1::ROLLOUT_STATE_HALTED:
      return FailedPrecondition("rollout_halted",
                                ShortName(rollout.name()) + " is halted" + why);
    case rollout::v1::ROLLOUT_STATE_ABORTED:
      return FailedPrecondition(
          "rollout_aborted", ShortName(rollout.name()) + " is aborted" + why);
    case rollout::v1::ROLLOUT_STATE_FAILED:
      return FailedPrecondition("rollout_failed",
                                ShortName(rollout.name()) + " failed" + why);
    default:
      return absl::OkStatus();
  }
}

absl::Status FollowRollout(
    Program& program, const std::string& name, absl::Duration timeout,
    const std::function<bool(const rollout::v1::Rollout&)>& done,
    rollout::v1::Rollout* last) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  const absl::Time deadline = timeout == absl::InfiniteDuration()
                                  ? absl::InfiniteFuture()
                                  : absl::Now() + timeout;
  const bool live = program.streams().out_is_terminal && !program.json();
  LiveView view(program.streams().out);
  std::string shown;
  bool ended = false, away = false;
  rollout::v1::WatchRolloutRequest request;
  request.set_name(name);
  while (true) {
    const absl::Status watched = plane->WatchRollout(
        request,
        [&](const rollout::v1::Rollout& rollout) {
          away = false;
          *last = rollout;
          if (live) {
            view.Draw(DescribeRollout(rollout));
          } else {
            const std::string line = RolloutLine(rollout);
            if (program.json() || line != shown) {
              program.PrintLine(rollout, [&] { return line + "\n"; });
            }
            shown = line;
          }
          ended = IsFinal(rollout.state()) || done(rollout);
          return ended ? StopStream() : absl::OkStatus();
        },
        deadline);
    if (ended) return absl::OkStatus();
    if (absl::Now() >= deadline) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "timeout",
                       fmt::format("{} is still {}", ShortName(name),
                                   StateText(last->state())));
    }
    // A plane that was never reached is an error; one that goes away is not:
    // the fleet goes on without it.
    const bool gone = watched.ok() || ExitCodeOf(watched) == kExitUnreachable ||
                      watched.code() == absl::StatusCode::kCancelled;
    if (!gone || (!plane->reached() && !watched.ok())) return watched;
    if (!away && !watched.ok()) {
      program.Remark(
          "shoald is away; the rollout goes on without it, this "
          "view goes on when it is back");
    }
    away = true;
    absl::SleepFor(std::min(kRetry, deadline - absl::Now()));
  }
}

}  // namespace shoal::cli
