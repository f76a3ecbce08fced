// delta_bench CORPUS [PAIR…]: makes and applies a delta for each pair
// CORPUS/<pair>/{old,new} and prints sizes, times and memory. Not a test:
//
//   delta_bench /path/to/corpus image-arm64
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "common/subprocess.h"

namespace {

struct Cost {
  bool ok = false;
  double cpu_seconds = 0;
  double megabytes = 0;
};

// Runs a program and measures it alone, with its peak resident size.
Cost Measure(const std::vector<std::string>& arguments) {
  Cost cost;
  std::vector<char*> argv;
  for (const std::string& a : arguments)
    argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  fflush(nullptr);  // or the child would print what is buffered again
  const pid_t pid = fork();
  if (pid == 0) {
    if (freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
    execv(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  if (pid < 0 || wait4(pid, &status, 0, &usage) != pid) return cost;
  cost.ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  cost.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  cost.megabytes = static_cast<double>(usage.ru_maxrss) / 1000.0;
  return cost;
}

}  // namespace

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  if (argc < 2) {
    fmt::print(stderr, "usage: delta_bench CORPUS [PAIR…]\n");
    return 2;
  }
  const fs::path corpus = argv[1];
  std::vector<std::string> pairs(argv + 2, argv + argc);
  if (pairs.empty())
    for (const auto& entry : fs::directory_iterator(corpus))
      if (fs::exists(entry.path() / "old") && fs::exists(entry.path() / "new"))
        pairs.push_back(entry.path().filename());
  std::sort(pairs.begin(), pairs.end());
  const std::string tool = shoal::ProgramDirectory() + "/shoal-delta";
  const fs::path scratch =
      fs::temp_directory_path() / fmt::format("delta-bench-{}", getpid());
  fs::create_directory(scratch);
  const std::string patch = scratch / "patch", result = scratch / "result";
  fmt::print(
      "| pair | new image | patch | make CPU s | make MB | apply CPU s | "
      "apply MB |\n|---|---|---|---|---|---|---|\n");
  int failed = 0;
  for (const std::string& pair : pairs) {
    const std::string old_path = corpus / pair / "old";
    const std::string new_path = corpus / pair / "new";
    const Cost make = Measure({tool, "make", old_path, new_path, patch});
    const Cost apply = Measure({tool, "apply", old_path, patch, result});
    if (!make.ok || !apply.ok) {
      fmt::print("| {} | failed | | | | | |\n", pair);
      ++failed;
    } else {
      fmt::print("| {} | {} | {} | {:.1f} | {:.0f} | {:.2f} | {:.1f} |\n", pair,
                 fs::file_size(new_path), fs::file_size(patch),
                 make.cpu_seconds, make.megabytes, apply.cpu_seconds,
                 apply.megabytes);
    }
    fflush(stdout);
    fs::remove(patch);
    fs::remove(result);
  }
  fs::remove_all(scratch);
  return failed == 0 ? 0 : 1;
}
