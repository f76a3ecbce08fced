// shoal-fetch: downloads and seeds for one controller, which started it and
// speaks to it over standard input and output (docs/swarm.md). It takes no
// arguments and reads no configuration, gives up what privileges it has,
// dumps no core, and ends when its input or its parent does.
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>

#include "common/clock.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/swarm/control.h"
#include "dht/swarm/fetch/engine.h"

namespace shoal::dht {
namespace {

constexpr int kExitControl = 2;  // the controller said something wrong
constexpr int kExitStart = 3;    // it can't do its work (the log says why)

absl::Status Limit(int resource, rlim_t value) {
  rlimit limit{};
  getrlimit(static_cast<__rlimit_resource_t>(resource), &limit);
  limit.rlim_cur = limit.rlim_max = std::min(limit.rlim_max, value);
  if (setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) {
    return ErrnoError(errno, "setrlimit");
  }
  return absl::OkStatus();
}

absl::Status DieWithParent(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return ErrnoError(errno, "prctl");
  // It may have died just before.
  if (getppid() != parent) return Unavailable("parent", "the parent is gone");
  return absl::OkStatus();
}

absl::Status Confine() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return ErrnoError(errno, "prctl(PR_SET_NO_NEW_PRIVS)");
  }
  umask(0077);
  SHOAL_RETURN_IF_ERROR(Limit(RLIMIT_CORE, 0));
  SHOAL_RETURN_IF_ERROR(Limit(RLIMIT_NOFILE, 512));
  SHOAL_RETURN_IF_ERROR(Limit(RLIMIT_FSIZE, kMaxArtifactLength));
  return absl::OkStatus();
}

absl::Status BecomeUser(const ConfigureCommand& configure) {
  if (geteuid() != 0 || (!configure.user && !configure.group)) {
    return absl::OkStatus();
  }
  const auto group =
      static_cast<gid_t>(configure.group ? *configure.group : *configure.user);
  if (setgroups(0, nullptr) != 0 || setresgid(group, group, group) != 0) {
    return ErrnoError(errno, "setgid");
  }
  if (configure.user) {
    const auto user = static_cast<uid_t>(*configure.user);
    if (setresuid(user, user, user) != 0) return ErrnoError(errno, "setuid");
    if (setuid(0) == 0) return Internal("setuid", "root came back");
  }
  return absl::OkStatus();
}

void Emit(const Event& event) {
  const auto line = FormatEvent(event);
  if (!line.ok()) {
    LogError("event_lost", {{"error", line.status()}});
    return;
  }
  for (size_t done = 0; done < line->size();) {
    const ssize_t n =
        write(STDOUT_FILENO, line->data() + done, line->size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(0);  // nobody listens
    done += static_cast<size_t>(n);
  }
}

int Main() {
  InitLog("shoal-fetch");
  const pid_t parent = getppid();
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // EFBIG instead
  for (const auto& status : {DieWithParent(parent), Confine()}) {
    if (!status.ok()) {
      LogError("start_failed", {{"error", status}});
      return kExitStart;
    }
  }
  fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);

  LineBuffer lines;
  std::unique_ptr<Engine> engine;
  std::string buffer(64 * 1024, '\0');
  for (;;) {
    if (engine != nullptr) {
      engine->Run(STDIN_FILENO);
    } else {
      pollfd input{STDIN_FILENO, POLLIN, 0};
      poll(&input, 1, -1);
    }
    const ssize_t n = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n == 0) return 0;
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      return 0;
    }
    absl::Status status =
        lines.Append(std::string_view(buffer.data(), static_cast<size_t>(n)));
    while (status.ok()) {
      const auto line = lines.Next();
      if (!line) break;
      auto command = ParseCommand(*line);
      if (!command.ok()) {
        status = command.status();
      } else if (engine != nullptr) {
        status = engine->Handle(*std::move(command));
      } else if (const auto* configure =
                     std::get_if<ConfigureCommand>(&*command)) {
        // Threads start only after this, so it holds for all of them. A new
        // user clears the death signal.
        absl::Status start = BecomeUser(*configure);
        if (start.ok()) start = DieWithParent(parent);
        if (start.ok()) {
          auto opened = Engine::Open(*configure, SystemClock(), Emit);
          start = opened.status();
          if (opened.ok()) engine = *std::move(opened);
        }
        if (!start.ok()) {
          LogError("start_failed", {{"error", start}});
          return kExitStart;
        }
      } else {
        status = InvalidArgument("bad_control", "not configured yet");
      }
    }
    if (!status.ok()) {
      LogError("bad_control", {{"error", status}});
      return kExitControl;
    }
  }
}

}  // namespace
}  // namespace shoal::dht

int main(int argc, char**) {
  if (argc > 1) {
    fputs(
        "shoal-fetch takes no arguments: it is started by shoal-agent, "
        "shoal-node and shoald and speaks on standard input and output "
        "(docs/swarm.md).\n",
        stderr);
    return 2;
  }
  return shoal::dht::Main();
}
