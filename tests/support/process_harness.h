// Drives the real programs: starts them in a temporary directory, collects
// their logs, waits for conditions with a deadline, kills them.
//
//   TempDir dir;
//   HarnessProcess node("node-0", {BinPath("shoal-node"), "--config", …}, dir);
//   ASSERT_OK(node.WaitForLog("event=ready"));
//   node.Kill(SIGKILL);
//
// No test sleeps to wait for something: WaitFor polls a condition until it
// holds, and on a time-out says what it waited for and prints the logs of all
// processes of the harness that are alive in this test.
#ifndef SHOAL_TESTS_SUPPORT_PROCESS_HARNESS_H_
#define SHOAL_TESTS_SUPPORT_PROCESS_HARNESS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/subprocess.h"
#include "tests/support/temp_dir.h"

namespace shoal::testing {

// build/<preset>/bin/NAME
std::string BinPath(std::string_view name);

// Time-outs are multiplied by this: sanitizers and loaded machines are slow.
double TimeoutScale();

// Polls `condition` (every 20 ms) until it is true. kDeadlineExceeded
// "test_timeout" with `what` and the logs after `timeout` × TimeoutScale().
absl::Status WaitFor(std::string_view what, std::function<bool()> condition,
                     absl::Duration timeout = absl::Seconds(20));

// Runs a program to its end; output is standard output and error together. A
// sanitizer's report in it fails the running test.
absl::StatusOr<CommandResult> Run(std::vector<std::string> arguments,
                                  absl::Duration timeout = absl::Seconds(60));

// One running program whose output goes to <dir>/<name>.log.
class HarnessProcess {
 public:
  HarnessProcess(std::string name, std::vector<std::string> arguments,
                 const TempDir& dir);
  // Kills it and its children (a sanitizer build is asked to end by itself
  // first). A sanitizer's report in the log fails the running test.
  ~HarnessProcess();
  HarnessProcess(const HarnessProcess&) = delete;
  HarnessProcess& operator=(const HarnessProcess&) = delete;

  // From the next Start() on it, and the children that inherit its
  // environment, live with a civil clock that is so much off (to whole
  // seconds). Its test needs the target shoal_clock_shift.
  void ShiftClock(absl::Duration by) { clock_shift_ = by; }
  // Starts it again (the log goes on in the same file).
  absl::Status Start();
  bool Running();
  pid_t pid() const;
  void Kill(int signal);  // and waits until it is gone
  absl::StatusOr<ExitStatus> Wait(absl::Duration timeout = absl::Seconds(20));

  std::string Log() const;
  // The value of `key` in the newest log line that holds `event`, so that a
  // test learns the port the system chose: LogValue("event=ready", "port").
  std::optional<std::string> LogValue(std::string_view event,
                                      std::string_view key) const;
  // Waits for a line that holds `text`; lines before the last Start() do not
  // count. An early end of the process is an error at once.
  absl::Status WaitForLog(std::string_view text,
                          absl::Duration timeout = absl::Seconds(20));
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::vector<std::string> arguments_;
  std::string log_path_;
  size_t log_start_ = 0;
  absl::Duration clock_shift_;
  std::optional<Subprocess> process_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_SUPPORT_PROCESS_HARNESS_H_
