#include "tests/bench/load/load_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace shoal::bench {

void LoadReport::Took(const std::string& call, double milliseconds) {
  std::lock_guard lock(mutex_);
  times_[call].push_back(milliseconds);
}

void LoadReport::Refused(const std::string& call, const grpc::Status& status,
                         const grpc::ClientContext& context) {
  const auto& trailing = context.GetServerTrailingMetadata();
  const auto found = trailing.find("shoal-reason");
  const std::string reason =
      found == trailing.end()
          ? status.error_message()
          : std::string(found->second.data(), found->second.size());
  std::lock_guard lock(mutex_);
  ++refused_[fmt::format("{}: code {} {}", call,
                         static_cast<int>(status.error_code()), reason)];
}

void LoadReport::Restart() {
  std::lock_guard lock(mutex_);
  times_.clear();
}

void LoadReport::Print(const std::string& title) {
  std::lock_guard lock(mutex_);
  fmt::print("\n{}\n{:<22} {:>8} {:>8} {:>8} {:>8}\n", title, "call", "calls",
             "p50 ms", "p99 ms", "max ms");
  for (auto& [call, times] : times_) {
    std::sort(times.begin(), times.end());
    fmt::print("{:<22} {:>8} {:>8.2f} {:>8.2f} {:>8.2f}\n", call, times.size(),
               times[times.size() / 2], times[times.size() * 99 / 100],
               times.back());
  }
  for (const auto& [what, count] : refused_)
    fmt::print("refused {:>6}  {}\n", count, what);
}

Usage UsageOf(pid_t pid) {
  Usage usage;
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    const auto number = [&](size_t from) {
      return std::strtod(line.c_str() + from, nullptr);
    };
    if (line.rfind("VmRSS:", 0) == 0) usage.resident_mb = number(6) / 1024;
    if (line.rfind("VmHWM:", 0) == 0) usage.peak_mb = number(6) / 1024;
    if (line.rfind("Threads:", 0) == 0)
      usage.threads = static_cast<long>(number(8));
  }
  std::ifstream stat(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  std::istringstream fields(
      text.substr(std::min(text.rfind(')'), text.size())));
  std::string word;
  for (int i = 0; fields >> word; ++i)  // utime and stime: 11 and 12 behind it
    if (i == 12 || i == 13)
      usage.cpu_seconds += std::strtod(word.c_str(), nullptr) /
                           static_cast<double>(sysconf(_SC_CLK_TCK));
  return usage;
}

}  // namespace shoal::bench
