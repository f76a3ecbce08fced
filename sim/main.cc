// shoal-sim: how a fleet of a given size behaves, and what it costs, with a
// real management plane and real storage nodes. docs/scale.md.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "common/command_line.h"
#include "common/log.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "sim/report.h"
#include "sim/simulation.h"

namespace shoal::sim {
namespace {

std::atomic<bool> stop{false};
void OnSignal(int) { stop = true; }

int Fail(const absl::Status& status) {
  std::cerr << "shoal-sim: " << std::string(status.message()) << " ("
            << ReasonOf(status) << ")\n";
  return 1;
}

absl::StatusOr<std::string> MakeDirectory(const std::string& base,
                                          const char* name) {
  std::string path = base + "/" + name + "-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr)
    return ErrnoError(errno, "a directory in " + base);
  return path;
}

struct Flags {
  SimOptions o;
  std::string links = "10mbit:3,1mbit:1";
  std::string image = "32M";
  std::string delta = "1M";
  std::string phases = "1,10,50,100";
  std::string log_level = "error";
  double offline_seconds = 60;
  double reboot_seconds = 5;
  double limit_minutes = 60;
};

void AddFlags(CLI::App& app, Flags& f) {
  SimOptions& o = f.o;
  app.add_option("--devices", o.devices, "How many")->capture_default_str();
  app.add_option("--nodes", o.nodes, "Storage nodes")->capture_default_str();
  app.add_option("--phases", f.phases, "Percent of the fleet up to each phase")
      ->capture_default_str();
  app.add_option("--gate-success", o.gate_success,
                 "Percent of successes that opens the next phase")
      ->capture_default_str();
  app.add_option("--gate-sample", o.gate_sample,
                 "Percent of a phase that must have answered first")
      ->capture_default_str();
  app.add_option("--error-threshold", o.error_threshold,
                 "Percent of failures that halts the rollout")
      ->capture_default_str();
  app.add_option("--attempts", o.attempts, "Tries of one device")
      ->capture_default_str();
  app.add_option("--failing", o.failing,
                 "Share of devices that the new image does not suit")
      ->capture_default_str();
  app.add_option("--offline", o.offline,
                 "Share that is away when the rollout begins")
      ->capture_default_str();
  app.add_option("--offline-for", f.offline_seconds, "Seconds, at most")
      ->capture_default_str();
  app.add_option("--reboot-time", f.reboot_seconds, "Seconds")
      ->capture_default_str();
  app.add_option("--links", f.links, "SPEED[:SHARE],… with kbit, mbit, kB, MB")
      ->capture_default_str();
  app.add_option("--image-size", f.image,
                 "What a download of a whole image counts")
      ->capture_default_str();
  app.add_option("--delta-size", f.delta, "The same of a delta")
      ->capture_default_str();
  app.add_option("--seed", o.seed, "Of all that is random")
      ->capture_default_str();
  app.add_option("--devices-per-socket", o.devices_per_socket,
                 "Devices that share a DHT client")
      ->capture_default_str();
  app.add_option("--threads", o.threads, "That drive the devices")
      ->capture_default_str();
  app.add_option("--pairing-at-once", o.pairing_at_once,
                 "Devices; each has a socket of its own meanwhile")
      ->capture_default_str();
  app.add_option("--time-limit", f.limit_minutes, "Minutes, of each part")
      ->capture_default_str();
  app.add_option("--directory", o.directory,
                 "For plane and nodes; kept and must not exist [temporary]");
  app.add_option("--flash", o.flash,
                 "For the devices' files [temporary, in memory]");
  app.add_option("--json", o.json_out, "Write the results there");
  app.add_option("--plots", o.plot_out, "Write PREFIX-states.svg and others");
  app.add_option("--log-level", f.log_level, "Of what the devices log: debug …")
      ->capture_default_str();
  app.add_flag("--quiet", o.quiet, "No progress");
  app.add_flag("--keep", o.keep, "Leave the directories");
}

absl::Status Parse(Flags& f) {
  SHOAL_ASSIGN_OR_RETURN(f.o.links, ParseLinks(f.links));
  SHOAL_ASSIGN_OR_RETURN(f.o.image_bytes, ParseSize(f.image));
  SHOAL_ASSIGN_OR_RETURN(f.o.delta_bytes, ParseSize(f.delta));
  SHOAL_ASSIGN_OR_RETURN(f.o.phases, ParsePhases(f.phases));
  f.o.offline_for = absl::Seconds(f.offline_seconds);
  f.o.reboot_time = absl::Seconds(f.reboot_seconds);
  f.o.time_limit = absl::Minutes(f.limit_minutes);
  f.o.programs = ProgramDirectory();
  return Validate(f.o);
}

// The keys of each device lie in guarded memory, some fifteen mappings in all,
// and the kernel bounds those of a process.
absl::Status EnoughMappings(const SimOptions& options) {
  std::ifstream in("/proc/sys/vm/max_map_count");
  uint64_t limit = 0;
  const uint64_t needed = 5000 + uint64_t{16} * options.devices;
  if (!(in >> limit) || limit >= needed) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "too_few_mappings",
      fmt::format("{} devices need {} memory mappings, the kernel allows {}: "
                  "sysctl -w vm.max_map_count={}",
                  options.devices, needed, limit, needed));
}

int Simulate(const SimOptions& options) {
  if (const absl::Status enough = EnoughMappings(options); !enough.ok())
    return Fail(enough);
  Simulation simulation(options);
  auto report = simulation.Run(stop);
  if (!report.ok()) return Fail(report.status());
  std::cout << ReportText(*report);
  if (!options.json_out.empty())
    if (const absl::Status written =
            RealFileSystem().WriteAtomic(options.json_out, ReportJson(*report));
        !written.ok())
      return Fail(written);
  if (!options.plot_out.empty())
    if (const absl::Status written = WritePlots(*report, options.plot_out);
        !written.ok())
      return Fail(written);
  return report->violations.empty() ? 0 : 3;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Simulates a fleet: real shoald, real storage nodes, real records; "
      "thousands of devices in one process");
  app.footer(
      "Examples:\n"
      "  shoal-sim --devices 200\n"
      "  shoal-sim --devices 5000 --failing 0.03 --offline 0.1 --json run.json "
      "--plots run\n"
      "  shoal-sim --devices 1000 --links 64kbit:1,2mbit:9 --delta-size 300k "
      "--phases 2,20,100\n\n"
      "Exit code 0: every device did what the plane says it did. 3: something "
      "does not hold.\n"
      "docs/scale.md says what is real here and what is not.");
  Flags flags;
  AddFlags(app, flags);
  if (const auto code = ParseCommandLine(app, argc, argv)) return *code;
  if (const absl::Status parsed = Parse(flags); !parsed.ok()) {
    Fail(parsed);
    return kExitUsage;
  }
  SimOptions& o = flags.o;
  InitLog("shoal-sim", flags.log_level);
  struct sigaction action {};
  action.sa_handler = OnSignal;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  std::vector<std::string> temporary;
  const auto choose = [&](std::string& path,
                          const std::string& base) -> absl::Status {
    if (!path.empty()) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(path, MakeDirectory(base, "shoal-sim"));
    temporary.push_back(path);
    return absl::OkStatus();
  };
  std::error_code error;
  const std::string disk = std::filesystem::temp_directory_path(error);
  const bool memory = ::access("/dev/shm", W_OK) == 0;
  for (const absl::Status& made :
       {choose(o.directory, disk),
        choose(o.flash, memory ? std::string("/dev/shm") : disk)})
    if (!made.ok()) return Fail(made);
  const int code = Simulate(o);
  for (const std::string& path : temporary) {
    if (o.keep)
      std::cerr << "kept: " << path << "\n";
    else
      std::filesystem::remove_all(path, error);
  }
  return code;
}

}  // namespace
}  // namespace shoal::sim

int main(int argc, char** argv) { return shoal::sim::Main(argc, argv); }
