#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "dht/swarm/fetch_process_impl.h"

namespace shoal::dht {
namespace {

constexpr absl::Duration kMaxBackoff = absl::Seconds(5);
// A child that lived this long did not die of how it was started.
constexpr absl::Duration kHealthyAge = absl::Seconds(10);
// The port of a child that was just killed may be taken: after so many
// failures a new one is chosen.
constexpr int kTriesForPort = 5;

}  // namespace

absl::Status FetchProcess::Impl::StartChild() {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  FileDescriptor child_in(in[0]), our_out(in[1]);
  if (pipe2(out, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  FileDescriptor our_in(out[0]), child_out(out[1]);
  fcntl(our_in.get(), F_SETFL, O_NONBLOCK);
  fcntl(our_out.get(), F_SETFL, O_NONBLOCK);
  SubprocessOptions start;
  start.arguments = {options.program};
  start.environment = std::vector<std::string>{"LC_ALL=C"};
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
    if (const char* value = getenv(name)) {
      start.environment->push_back(fmt::format("{}={}", name, value));
    }
  }
  start.descriptors = {{child_in.get(), STDIN_FILENO},
                       {child_out.get(), STDOUT_FILENO}};
  SHOAL_ASSIGN_OR_RETURN(Subprocess process, Subprocess::Start(start));
  child.emplace(std::move(process));
  to_child = std::move(our_out);
  from_child = std::move(our_in);
  lines = LineBuffer();
  started_at = Now();

  std::lock_guard lock(mutex);
  ConfigureCommand configure;
  configure.listen = address.empty() ? options.listen : address;
  if (failed_starts >= kTriesForPort) configure.listen = options.listen;
  configure.state_dir = options.state_dir;
  configure.ca_file = options.ca_file;
  configure.limits = ToCommand(options.limits);
  configure.stall_ms = absl::ToInt64Milliseconds(options.stall_timeout);
  configure.min_rate = options.min_bytes_per_second;
  if (options.user) configure.user = *options.user;
  if (options.group) configure.group = *options.group;
  SHOAL_ASSIGN_OR_RETURN(outbox, FormatCommand(configure));
  status.child = child->pid();
  return absl::OkStatus();
}

void FetchProcess::Impl::ChildDied(std::string_view why) {
  std::string end(why);
  if (child) {
    child->Signal(SIGKILL);
    if (const auto exit = child->Wait(absl::Seconds(5)); exit.ok()) {
      end = fmt::format("{}, {}", why, exit->ToString());
    }
  }
  child.reset();
  to_child.Reset(-1);
  from_child.Reset(-1);
  const absl::Duration now = Now();
  if (now - started_at >= kHealthyAge) backoff = kFirstFetchBackoff;
  next_start = now + backoff;
  backoff = std::min(backoff * 2, kMaxBackoff);

  std::lock_guard lock(mutex);
  if (!ready) ++failed_starts;
  ready = false;
  outbox.clear();
  status.child = -1;
  status.uploaded = 0;
  if (stopping) return;
  ++status.restarts;
  for (auto& [id, job] : jobs) {
    job.before.peers += job.now.peers;
    job.before.origin += job.now.origin;
    job.before.discarded += job.now.discarded;
    job.now = Counters();
  }
  for (auto& [sha256, seed] : seeds) seed.serving = false;
  for (auto& [id, document] : documents) {
    callbacks.push_back([callback = std::move(document.callback)] {
      if (callback) {
        callback(Unavailable("fetch_restarted", "shoal-fetch was restarted"));
      }
    });
  }
  documents.clear();
  LogWarn("fetch_died", {{"why", end}, {"jobs", jobs.size()}});
}

void FetchProcess::Impl::ReadChild() {
  std::string buffer(64 * 1024, '\0');
  const ssize_t n = read(from_child.get(), buffer.data(), buffer.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return ChildDied("its output ended");
  absl::Status parsed =
      lines.Append(std::string_view(buffer.data(), static_cast<size_t>(n)));
  while (parsed.ok()) {
    const auto line = lines.Next();
    if (!line) return;
    auto event = ParseEvent(*line);
    parsed = event.status();
    if (event.ok()) {
      std::lock_guard lock(mutex);
      OnEvent(*std::move(event));
    }
  }
  // It speaks with strangers: one that does not keep to the protocol may no
  // longer be ours.
  LogError("fetch_output_refused", {{"error", parsed}});
  ChildDied("it broke the protocol");
}

void FetchProcess::Impl::WriteChild() {
  std::lock_guard lock(mutex);
  if (outbox.empty()) return;
  // SIGPIPE is blocked in this thread.
  const ssize_t n = write(to_child.get(), outbox.data(), outbox.size());
  if (n > 0) outbox.erase(0, static_cast<size_t>(n));
  // Any error shows as the end of its output too.
}

void FetchProcess::Impl::Loop() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  for (;;) {
    bool writing = false;
    {
      std::lock_guard lock(mutex);
      if (stopping) break;
      writing = !outbox.empty();
    }
    if (!child && Now() >= next_start) {
      if (auto started = StartChild(); !started.ok()) {
        LogError("fetch_start_failed", {{"error", started}});
        ChildDied("it could not be started");
      }
      continue;
    }
    absl::Duration wait = absl::Milliseconds(500);
    if (!child) wait = std::min(wait, next_start - Now());
    pollfd fds[3] = {{wake.get(), POLLIN, 0},
                     {from_child.get(), POLLIN, 0},
                     {writing ? to_child.get() : -1, POLLOUT, 0}};
    poll(fds, 3,
         static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(
             std::max(wait, absl::ZeroDuration()), absl::Milliseconds(1)))));
    uint64_t count = 0;
    // Empty when something else ended the wait.
    [[maybe_unused]] const ssize_t n = read(wake.get(), &count, sizeof(count));
    if (child && fds[2].revents != 0) WriteChild();
    if (child && fds[1].revents != 0) ReadChild();
    if (child) {
      bool up;
      {
        std::lock_guard lock(mutex);
        up = ready;
      }
      if (!up && Now() - started_at > kFetchStartTimeout) {
        ChildDied("it did not get ready");
      }
    }
    CheckDeadlines();
    Callbacks due;
    {
      std::lock_guard lock(mutex);
      due.swap(callbacks);
    }
    for (const auto& callback : due) callback();
  }
  // The end of its input ends the child; the Subprocess kills it otherwise.
  to_child.Reset(-1);
  if (child) {
    // A time-out is dealt with by the destructor's kill.
    (void)child->Wait(absl::Milliseconds(500));
    child.reset();
  }
}

}  // namespace shoal::dht
