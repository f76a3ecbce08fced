// Child processes without a shell. The child gets exactly the arguments, the
// environment and the descriptors named here; everything else is closed.
#ifndef SHOAL_COMMON_SUBPROCESS_H_
#define SHOAL_COMMON_SUBPROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace shoal {

struct SubprocessOptions {
  std::vector<std::string> arguments;  // arguments[0] is the program's path
  // "NAME=value"; nullopt: the parent's environment.
  std::optional<std::vector<std::string>> environment;
  // (descriptor here, descriptor in the child); stdin, stdout and stderr that
  // are not named are /dev/null, inherited, inherited.
  std::vector<std::pair<int, int>> descriptors;
  // Kill the child when the thread that started it ends (PR_SET_PDEATHSIG).
  bool die_with_parent = true;
  // Run the child in a session of its own, so that a terminal's Ctrl-C does
  // not reach it and KillGroup() ends its children too.
  bool new_session = false;
};

// How a process ended.
struct ExitStatus {
  bool exited = false;  // by itself, with `code`; else killed by `signal`
  int code = 0;
  int signal = 0;
  bool ok() const { return exited && code == 0; }
  std::string ToString() const;
};

// Owns a running child; the destructor kills (SIGKILL) and reaps it.
// One thread at a time.
class Subprocess {
 public:
  // kNotFound "io_not_found" when the program does not exist.
  static absl::StatusOr<Subprocess> Start(const SubprocessOptions& options);
  Subprocess(Subprocess&& other) noexcept;
  Subprocess& operator=(Subprocess&& other) noexcept;
  ~Subprocess();

  pid_t pid() const { return pid_; }
  // Blocks. kDeadlineExceeded "timeout" when it still runs after `timeout`.
  absl::StatusOr<ExitStatus> Wait(
      absl::Duration timeout = absl::InfiniteDuration());
  // nullopt while it runs.
  std::optional<ExitStatus> Poll();
  void Signal(int signal);
  void KillGroup();  // SIGKILL to its whole session (new_session only)

 private:
  explicit Subprocess(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
  std::optional<ExitStatus> status_;
};

// Runs to the end and returns at most `max_output` bytes of its standard
// output and error together. Killed after `timeout`: kDeadlineExceeded.
struct CommandResult {
  ExitStatus status;
  std::string output;
};
absl::StatusOr<CommandResult> RunCommand(SubprocessOptions options,
                                         absl::Duration timeout,
                                         size_t max_output = 65536);

// The directory of the running program, where its sister programs are.
std::string ProgramDirectory();

}  // namespace shoal

#endif  // SHOAL_COMMON_SUBPROCESS_H_
