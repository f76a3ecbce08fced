#include "delta/tool/measure.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace shoal::delta {
namespace {

constexpr useconds_t kLookEvery = 4000;  // microseconds

double AnonymousMegabytes(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", static_cast<int>(pid));
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[4096];
  const ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = 0;
  const char* at = strstr(text, "RssAnon:");
  return at == nullptr ? 0 : atof(at + 8) * 1.024 / 1000;
}

[[noreturn]] void Become(char* const* argv, int time_limit) {
  const int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2; ++fd) dup2(null, fd);
  // The soft limit's signal tells a time-out from a failure.
  const rlimit limit{static_cast<rlim_t>(time_limit),
                     static_cast<rlim_t>(time_limit) + 5};
  setrlimit(RLIMIT_CPU, &limit);
  execvp(argv[0], argv);
  _exit(127);
}

}  // namespace

Cost Measure(const std::vector<std::string>& arguments, int time_limit) {
  Cost cost;
  std::vector<char*> argv;
  for (const std::string& a : arguments)
    argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  fflush(nullptr);  // or the child would print what is buffered again
  const pid_t pid = fork();
  if (pid == 0) Become(argv.data(), time_limit);
  if (pid < 0) return cost;
  int status = 0;
  rusage usage{};
  for (;;) {
    const pid_t ended = wait4(pid, &status, WNOHANG, &usage);
    if (ended == pid) break;
    if (ended < 0) return cost;
    cost.anonymous_megabytes =
        std::max(cost.anonymous_megabytes, AnonymousMegabytes(pid));
    usleep(kLookEvery);
  }
  cost.ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  cost.timed_out = WIFSIGNALED(status) &&
                   (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  cost.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  cost.megabytes = static_cast<double>(usage.ru_maxrss) * 1.024 / 1000;
  return cost;
}

}  // namespace shoal::delta
