#include "delta/tool/bench.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "common/status.h"
#include "common/subprocess.h"
#include "delta/make/mapped_file.h"

namespace shoal::delta {
namespace {

namespace fs = std::filesystem;

// A program and how it is called; OLD, NEW, PATCH and OUT are replaced.
struct Contender {
  std::string name;
  std::vector<std::string> make, apply;
  bool ours = false;
};

std::vector<Contender> Contenders(bool peers) {
  const std::string self = ProgramDirectory() + "/shoal-delta";
  const std::vector<std::string> apply = {self,  "apply", "--max-memory", "64M",
                                          "OLD", "PATCH", "OUT"};
  const auto make = [&](std::vector<std::string> options) {
    std::vector<std::string> arguments = {self, "make"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.insert(arguments.end(), {"OLD", "NEW", "PATCH"});
    return arguments;
  };
  std::vector<Contender> all = {
      {"shoal", make({"--mode", "model"}), apply, true},
      {"shoal zstd", make({"--mode", "zstd"}), apply, true},
      {"shoal bsdiff", make({"--format", "bsdiff"}), apply, true},
  };
  if (!peers) return all;
  all.push_back({"bsdiff",
                 {"bsdiff", "OLD", "NEW", "PATCH"},
                 {"bspatch", "OLD", "OUT", "PATCH"}});
  all.push_back({"xdelta3 -9",
                 {"xdelta3", "-e", "-9", "-f", "-B", "536870912", "-s", "OLD",
                  "NEW", "PATCH"},
                 {"xdelta3", "-d", "-f", "-B", "536870912", "-s", "OLD",
                  "PATCH", "OUT"}});
  all.push_back({"zstd -19",
                 {"zstd", "-q", "-f", "-19", "--long=29", "--patch-from=OLD",
                  "NEW", "-o", "PATCH"},
                 {"zstd", "-q", "-f", "-d", "--long=29", "--patch-from=OLD",
                  "PATCH", "-o", "OUT"}});
  all.push_back(
      {"hdiffz zstd",
       {"hdiffz", "-f", "-m-1", "-SD", "-c-zstd-21-24", "OLD", "NEW", "PATCH"},
       {"hpatchz", "-f", "OLD", "PATCH", "OUT"}});
  return all;
}

bool IsInstalled(const std::string& program) {
  if (program.find('/') != std::string::npos) return fs::exists(program);
  const char* path = getenv("PATH");
  for (std::string_view rest = path == nullptr ? "" : path; !rest.empty();) {
    const size_t end = std::min(rest.find(':'), rest.size());
    if (fs::exists(fs::path(rest.substr(0, end)) / program)) return true;
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  return false;
}

struct Files {
  std::string old_path, new_path, patch, out;
};

std::vector<std::string> Fill(const std::vector<std::string>& arguments,
                              const Files& files) {
  std::vector<std::string> filled;
  for (std::string argument : arguments) {
    const auto replace = [&](std::string_view word, const std::string& by) {
      const size_t at = argument.rfind(word);
      if (at != std::string::npos && at + word.size() == argument.size())
        argument.replace(at, word.size(), by);
    };
    replace("OLD", files.old_path);
    replace("NEW", files.new_path);
    replace("PATCH", files.patch);
    replace("OUT", files.out);
    filled.push_back(argument);
  }
  return filled;
}

struct Cost {
  bool ok = false;
  double cpu_seconds = 0;
  double megabytes = 0;
};

// Runs a program alone and measures it, with its peak resident size.
Cost Measure(const std::vector<std::string>& arguments, int time_limit) {
  Cost cost;
  std::vector<char*> argv;
  for (const std::string& a : arguments)
    argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  fflush(nullptr);  // or the child would print what is buffered again
  const pid_t pid = fork();
  if (pid == 0) {
    const int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2; ++fd) dup2(null, fd);
    const rlimit limit{static_cast<rlim_t>(time_limit),
                       static_cast<rlim_t>(time_limit)};
    setrlimit(RLIMIT_CPU, &limit);
    execvp(argv[0], argv.data());
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

bool SameBytes(const std::string& a, const std::string& b) {
  auto first = MappedFile::Open(a), second = MappedFile::Open(b);
  return first.ok() && second.ok() && (*first)->bytes() == (*second)->bytes();
}

// One line of the table; false when it failed.
bool RunOne(const std::string& pair, const Contender& contender,
            const Files& files, int time_limit) {
  const Cost make = Measure(Fill(contender.make, files), time_limit);
  std::error_code none;
  const uint64_t size = make.ok ? fs::file_size(files.patch, none) : 0;
  Cost apply;
  if (make.ok) apply = Measure(Fill(contender.apply, files), time_limit);
  const bool right = apply.ok && SameBytes(files.out, files.new_path);
  if (!make.ok)
    fmt::print("| {} | {} | failed, or over {} s | {:.1f} | {:.0f} | | |\n",
               pair, contender.name, time_limit, make.cpu_seconds,
               make.megabytes);
  else
    fmt::print("| {} | {} | {} | {:.1f} | {:.0f} | {:.2f} | {:.1f} |{}\n", pair,
               contender.name, size, make.cpu_seconds, make.megabytes,
               apply.cpu_seconds, apply.megabytes,
               right ? "" : " WRONG RESULT");
  fflush(stdout);
  fs::remove(files.patch, none);
  fs::remove(files.out, none);
  return right;
}

}  // namespace

absl::Status RunBench(const BenchOptions& options) {
  std::vector<std::string> pairs = options.pairs;
  std::error_code error;
  if (pairs.empty())
    for (const auto& entry : fs::directory_iterator(options.corpus, error))
      if (fs::exists(entry.path() / "old") && fs::exists(entry.path() / "new"))
        pairs.push_back(entry.path().filename());
  if (pairs.empty())
    return NotFound("not_found",
                    "no <pair>/old and <pair>/new in " + options.corpus);
  std::sort(pairs.begin(), pairs.end());
  std::string scratch = fs::temp_directory_path() / "shoal-delta-bench.XXXXXX";
  if (mkdtemp(scratch.data()) == nullptr)
    return ErrnoError(errno, "make " + scratch);
  fmt::print(
      "| pair | program | patch | make CPU s | make MB | apply CPU s | "
      "apply MB |\n|---|---|---|---|---|---|---|\n");
  int failed = 0;
  for (const std::string& pair : pairs) {
    const fs::path folder = fs::path(options.corpus) / pair;
    const Files files{folder / "old", folder / "new", scratch + "/patch",
                      scratch + "/out"};
    for (const Contender& contender : Contenders(options.peers)) {
      if (!IsInstalled(contender.make[0])) continue;
      const bool ok = RunOne(pair, contender, files, options.time_limit);
      if (!ok && contender.ours) ++failed;
    }
  }
  fs::remove_all(scratch, error);
  if (failed > 0)
    return Internal("bench_failed", fmt::format("{} patches failed", failed));
  return absl::OkStatus();
}

}  // namespace shoal::delta
