#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "common/metrics/metrics.h"

namespace shoal::metrics {
namespace {

double Seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) +
         1e-9 * static_cast<double>(now.tv_nsec);
}

int OpenDescriptors() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return -1;
  int count = 0;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count - 3;  // ".", "..", and the directory's own
}

// Seconds after boot at which this process began: field 22 of proc(5)'s stat,
// counted behind the last ')' since a name may hold anything.
double StartAfterBoot() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  if (!std::getline(file, line)) return 0;
  const size_t end = line.rfind(')');
  if (end == std::string::npos) return 0;
  size_t at = end + 1;
  for (int field = 3; field < 22; ++field) at = line.find(' ', at + 1);
  if (at == std::string::npos) return 0;
  return std::stod(line.substr(at)) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

void CollectProcess(Samples& out) {
  out.Counter("process_cpu_seconds_total",
              "User and system CPU time in seconds.",
              Seconds(CLOCK_PROCESS_CPUTIME_ID));
  long total = 0;
  long resident = 0;
  std::ifstream statm("/proc/self/statm");
  if (statm >> total >> resident) {
    out.Gauge("process_resident_memory_bytes", "Resident memory in bytes.",
              static_cast<double>(resident) *
                  static_cast<double>(sysconf(_SC_PAGESIZE)));
  }
  if (const int open = OpenDescriptors(); open >= 0) {
    out.Gauge("process_open_fds", "Open file descriptors.", open);
  }
  if (const double start = StartAfterBoot(); start > 0) {
    out.Gauge("process_start_time_seconds",
              "Start of the process, in seconds since 1970.",
              Seconds(CLOCK_REALTIME) - Seconds(CLOCK_BOOTTIME) + start);
  }
}

}  // namespace shoal::metrics
