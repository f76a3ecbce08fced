#include "common/subprocess.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"

namespace shoal {
namespace {

ExitStatus FromWait(int status) {
  ExitStatus exit;
  if (WIFEXITED(status)) {
    exit.exited = true;
    exit.code = WEXITSTATUS(status);
  } else {
    exit.signal = WTERMSIG(status);
  }
  return exit;
}

// In the child, between fork and exec: only async-signal-safe calls.
[[noreturn]] void ExecChild(const SubprocessOptions& options, char** arguments,
                            char** environment, int error_pipe, pid_t parent,
                            int* moved) {
  const auto fail = [&error_pipe] {
    const int error = errno;
    [[maybe_unused]] ssize_t n = write(error_pipe, &error, sizeof error);
    _exit(127);
  };
  if (options.new_session) setsid();
  if (options.die_with_parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
  }
  // First move all sources out of the way of all goals.
  int highest = 2;
  for (const auto& [from, to] : options.descriptors)
    highest = std::max(highest, to);
  size_t i = 0;
  for (const auto& [from, to] : options.descriptors) {
    moved[i] = fcntl(from, F_DUPFD, highest + 1);
    if (moved[i] < 0) fail();
    ++i;
  }
  const int error_copy = fcntl(error_pipe, F_DUPFD_CLOEXEC, highest + 1);
  if (error_copy < 0) fail();
  error_pipe = error_copy;
  bool has_stdin = false;
  i = 0;
  for (const auto& [from, to] : options.descriptors) {
    if (dup2(moved[i], to) < 0) fail();
    if (to == 0) has_stdin = true;
    ++i;
  }
  if (!has_stdin) {
    const int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0) fail();
  }
  // Close everything above what the child was given, but for the error pipe,
  // which closes itself at exec.
  const auto close_range_call = [](unsigned first, unsigned last) {
    syscall(SYS_close_range, first, last, 0);
  };
  for (int fd = 3; fd <= highest; ++fd) {
    bool wanted = false;
    for (const auto& [from, to] : options.descriptors)
      if (to == fd) wanted = true;
    if (!wanted) close(fd);
  }
  if (error_pipe > highest + 1)
    close_range_call(static_cast<unsigned>(highest) + 1,
                     static_cast<unsigned>(error_pipe) - 1);
  close_range_call(static_cast<unsigned>(error_pipe) + 1, ~0u);
  // The child starts with default signals whatever the parent blocked.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (environment != nullptr)
    execve(arguments[0], arguments, environment);
  else
    execv(arguments[0], arguments);
  fail();
  _exit(127);
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& s : strings)
    pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

std::string ExitStatus::ToString() const {
  return exited ? fmt::format("exit code {}", code)
                : fmt::format("signal {}", signal);
}

absl::StatusOr<Subprocess> Subprocess::Start(const SubprocessOptions& options) {
  if (options.arguments.empty())
    return InvalidArgument("no_program", "a child process needs a program");
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  FileDescriptor reader(pipe_fds[0]), writer(pipe_fds[1]);
  std::vector<char*> arguments = Pointers(options.arguments);
  std::vector<char*> environment;
  if (options.environment) environment = Pointers(*options.environment);
  std::vector<int> moved(options.descriptors.size() + 1);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError(errno, "fork");
  if (pid == 0)
    ExecChild(options, arguments.data(),
              options.environment ? environment.data() : nullptr, writer.get(),
              parent, moved.data());
  writer.Reset(-1);
  int error = 0;
  ssize_t n;
  do {
    n = read(reader.get(), &error, sizeof error);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof error) {
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return ErrnoError(error, "start " + options.arguments[0]);
  }
  return Subprocess(pid);
}

Subprocess::Subprocess(Subprocess&& other) noexcept
    : pid_(other.pid_), status_(other.status_) {
  other.pid_ = -1;
}

Subprocess& Subprocess::operator=(Subprocess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(status_, other.status_);
  return *this;
}

Subprocess::~Subprocess() {
  if (pid_ < 0 || status_) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::optional<ExitStatus> Subprocess::Poll() {
  if (status_ || pid_ < 0) return status_;
  int status;
  if (waitpid(pid_, &status, WNOHANG) == pid_) status_ = FromWait(status);
  return status_;
}

absl::StatusOr<ExitStatus> Subprocess::Wait(absl::Duration timeout) {
  if (Poll()) return *status_;
  if (timeout == absl::InfiniteDuration()) {
    int status;
    while (waitpid(pid_, &status, 0) < 0)
      if (errno != EINTR) return ErrnoError(errno, "waitpid");
    status_ = FromWait(status);
    return *status_;
  }
  FileDescriptor pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd.valid()) return ErrnoError(errno, "pidfd_open");
  const absl::Duration end = SystemClock().MonotonicNow() + timeout;
  for (;;) {
    const absl::Duration left = end - SystemClock().MonotonicNow();
    pollfd poll_fd{pidfd.get(), POLLIN, 0};
    const int64_t ms = std::max<int64_t>(0, absl::ToInt64Milliseconds(left));
    const int n =
        poll(&poll_fd, 1, static_cast<int>(std::min<int64_t>(ms, 1 << 30)));
    if (n < 0 && errno != EINTR) return ErrnoError(errno, "poll");
    if (Poll()) return *status_;
    if (SystemClock().MonotonicNow() >= end)
      return MakeError(absl::StatusCode::kDeadlineExceeded, "timeout",
                       fmt::format("process {} still runs after {}", pid_,
                                   absl::FormatDuration(timeout)));
  }
}

void Subprocess::Signal(int signal) {
  if (pid_ > 0 && !Poll()) kill(pid_, signal);
}

void Subprocess::KillGroup() {
  if (pid_ > 0) kill(-pid_, SIGKILL);
}

absl::StatusOr<CommandResult> RunCommand(SubprocessOptions options,
                                         absl::Duration timeout,
                                         size_t max_output) {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  FileDescriptor reader(pipe_fds[0]), writer(pipe_fds[1]);
  options.descriptors.emplace_back(writer.get(), 1);
  options.descriptors.emplace_back(writer.get(), 2);
  options.new_session = true;
  SHOAL_ASSIGN_OR_RETURN(Subprocess child, Subprocess::Start(options));
  writer.Reset(-1);
  CommandResult result;
  const absl::Duration end = SystemClock().MonotonicNow() + timeout;
  for (;;) {
    const int64_t left =
        absl::ToInt64Milliseconds(end - SystemClock().MonotonicNow());
    if (left <= 0) {
      child.KillGroup();
      return MakeError(
          absl::StatusCode::kDeadlineExceeded, "timeout",
          fmt::format("{} did not end within {}", options.arguments[0],
                      absl::FormatDuration(timeout)));
    }
    pollfd poll_fd{reader.get(), POLLIN, 0};
    const int n =
        poll(&poll_fd, 1, static_cast<int>(std::min<int64_t>(left, 1 << 30)));
    if (n < 0 && errno != EINTR) return ErrnoError(errno, "poll");
    if (n <= 0) continue;
    char buffer[4096];
    const ssize_t got = read(reader.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    const size_t room = max_output - std::min(max_output, result.output.size());
    result.output.append(buffer, std::min(room, static_cast<size_t>(got)));
  }
  auto status = child.Wait(end - SystemClock().MonotonicNow());
  if (!status.ok()) {
    child.KillGroup();
    return status.status();
  }
  result.status = *status;
  return result;
}

std::string ProgramDirectory() {
  char buffer[4096];
  const ssize_t n = readlink("/proc/self/exe", buffer, sizeof buffer);
  if (n <= 0) return ".";
  const std::string path(buffer, static_cast<size_t>(n));
  return path.substr(0, path.rfind('/'));
}

}  // namespace shoal
