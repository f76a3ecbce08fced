#include "tests/support/process_harness.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"

namespace shoal::testing {
namespace {

constexpr uint64_t kMaxLog = 64 << 20;
constexpr size_t kMaxReport = 16 << 10;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::vector<const HarnessProcess*>& Alive() {
  static auto* const processes = new std::vector<const HarnessProcess*>;
  return *processes;
}

std::string Tail(const std::string& text, size_t bytes) {
  return text.size() <= bytes ? text : text.substr(text.size() - bytes);
}

std::string AllLogs() {
  std::string out;
  for (const HarnessProcess* process : Alive())
    out += fmt::format("--- log of {} ---\n{}\n", process->name(),
                       Tail(process->Log(), 6000));
  return out;
}

absl::Status TimedOut(std::string_view what) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "test_timeout",
                   fmt::format("waited in vain for {}\n{}", what, AllLogs()));
}

// This process's environment, with a shifted clock.
std::vector<std::string> EnvironmentWith(absl::Duration shift) {
  std::vector<std::string> environment;
  for (char** one = environ; *one != nullptr; ++one)
    if (std::string_view(*one).rfind("LD_PRELOAD=", 0) != 0 &&
        std::string_view(*one).rfind("ASAN_OPTIONS=", 0) != 0)
      environment.emplace_back(*one);
  environment.push_back("LD_PRELOAD=" + BinPath("libshoal_clock_shift.so"));
  environment.push_back(
      fmt::format("SHOAL_CLOCK_SHIFT={}", absl::ToInt64Seconds(shift)));
  // The sanitizer's own library no longer comes first, which it minds.
  const char* asan = getenv("ASAN_OPTIONS");
  if (kSanitized)
    environment.push_back(
        fmt::format("ASAN_OPTIONS={}verify_asan_link_order=0",
                    asan == nullptr ? "" : asan + std::string(":")));
  return environment;
}

// A sanitizer's report in a program's output fails the test that ran it, even
// when the program went on or nobody asked for its exit code.
void FailOnSanitizerReport(const std::string& name, const std::string& output) {
  size_t first = std::string::npos;
  for (const char* mark : {"ERROR: AddressSanitizer", "ERROR: LeakSanitizer",
                           "runtime error:", "WARNING: ThreadSanitizer"})
    first = std::min(first, output.find(mark));
  if (first == std::string::npos) return;
  const size_t line = output.rfind('\n', first) + 1;  // npos + 1 is 0
  ADD_FAILURE() << "a sanitizer reports on " << name << ":\n"
                << output.substr(line, kMaxReport);
}

}  // namespace

std::string BinPath(std::string_view name) {
  const char* directory = getenv("SHOAL_BIN_DIR");
  return JoinPath(
      directory != nullptr ? directory : JoinPath(ProgramDirectory(), ""),
      name);
}

double TimeoutScale() {
  if (const char* scale = getenv("SHOAL_TIMEOUT_SCALE")) return atof(scale);
  return kSanitized ? 5 : 2;
}

absl::Status WaitFor(std::string_view what, std::function<bool()> condition,
                     absl::Duration timeout) {
  const absl::Duration end =
      SystemClock().MonotonicNow() + timeout * TimeoutScale();
  while (!condition()) {
    if (SystemClock().MonotonicNow() > end) return TimedOut(what);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return absl::OkStatus();
}

absl::StatusOr<CommandResult> Run(std::vector<std::string> arguments,
                                  absl::Duration timeout) {
  const std::string program = arguments.empty() ? "" : arguments[0];
  SubprocessOptions options;
  options.arguments = std::move(arguments);
  auto result =
      RunCommand(std::move(options), timeout * TimeoutScale(), 4 << 20);
  if (result.ok()) FailOnSanitizerReport(program, result->output);
  return result;
}

HarnessProcess::HarnessProcess(std::string name,
                               std::vector<std::string> arguments,
                               const TempDir& dir)
    : name_(std::move(name)),
      arguments_(std::move(arguments)),
      log_path_(dir.File(name_ + ".log")) {
  Alive().push_back(this);
}

HarnessProcess::~HarnessProcess() {
  if (process_) {
    // Leaks are looked for at a program's own end.
    if (kSanitized && Running()) Kill(SIGTERM);
    if (process_) process_->KillGroup();
    process_.reset();
  }
  FailOnSanitizerReport(name_, Log());
  std::erase(Alive(), this);
}

absl::Status HarnessProcess::Start() {
  log_start_ = Log().size();
  FileDescriptor log(
      open(log_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log.valid()) return ErrnoError(errno, "open " + log_path_);
  SubprocessOptions options;
  options.arguments = arguments_;
  options.descriptors = {{log.get(), 1}, {log.get(), 2}};
  options.new_session = true;
  if (clock_shift_ != absl::ZeroDuration())
    options.environment = EnvironmentWith(clock_shift_);
  SHOAL_ASSIGN_OR_RETURN(Subprocess process, Subprocess::Start(options));
  process_.emplace(std::move(process));
  return absl::OkStatus();
}

bool HarnessProcess::Running() { return process_ && !process_->Poll(); }

pid_t HarnessProcess::pid() const { return process_ ? process_->pid() : -1; }

void HarnessProcess::Kill(int signal) {
  if (!process_) return;
  process_->Signal(signal);
  if (!process_->Wait(absl::Seconds(10) * TimeoutScale()).ok())
    process_->Signal(SIGKILL);
  process_->KillGroup();
  process_.reset();
}

absl::StatusOr<ExitStatus> HarnessProcess::Wait(absl::Duration timeout) {
  if (!process_)
    return FailedPrecondition("not_started", name_ + " was not started");
  auto status = process_->Wait(timeout * TimeoutScale());
  if (!status.ok()) return TimedOut("the end of " + name_);
  return status;
}

std::string HarnessProcess::Log() const {
  auto log = RealFileSystem().Read(log_path_, kMaxLog);
  return log.ok() ? *log : "";
}

std::optional<std::string> HarnessProcess::LogValue(
    std::string_view event, std::string_view key) const {
  const std::string log = Log();
  size_t end = log.size();
  while (end > 0) {
    const size_t newline = log.rfind('\n', end - 1);
    const size_t start = newline == std::string::npos ? 0 : newline + 1;
    const std::string line = log.substr(start, end - start);
    if (line.find(event) != std::string::npos) {
      const std::string needle = fmt::format(" {}=", key);
      const size_t at = line.find(needle);
      if (at != std::string::npos) {
        const size_t from = at + needle.size();
        std::string value = line.substr(from, line.find(' ', from) - from);
        if (value.size() > 1 && value.front() == '"')
          value = value.substr(1, value.find('"', 1) - 1);
        return value;
      }
    }
    if (newline == std::string::npos) break;
    end = newline;
  }
  return std::nullopt;
}

absl::Status HarnessProcess::WaitForLog(std::string_view text,
                                        absl::Duration timeout) {
  bool found = false;
  SHOAL_RETURN_IF_ERROR(WaitFor(
      fmt::format("\"{}\" in the log of {}", text, name_),
      [&] {
        // Ask before reading: what it wrote before its end is seen.
        const bool running = Running();
        found = Log().find(text, log_start_) != std::string::npos;
        return found || !running;
      },
      timeout));
  if (found) return absl::OkStatus();
  return FailedPrecondition("process_ended",
                            fmt::format("{} ended before it logged \"{}\"\n{}",
                                        name_, text, AllLogs()));
}

}  // namespace shoal::testing
