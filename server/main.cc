// shoald: the management plane.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "common/clock.h"
#include "common/command_line.h"
#include "common/files.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/node_client/grpc_threads.h"
#include "server/identity/plane_keys.h"
#include "server/plane.h"
#include "server/plane_config.h"

namespace {

int Fail(const absl::Status& status) {
  std::cerr << "shoald: " << shoal::ReasonOf(status) << ": "
            << std::string(status.message()) << "\n";
  return 1;
}

int RunPlane(const shoal::server::PlaneConfig& config) {
  // Before any thread starts, so that all of them leave the signals to
  // sigwait below.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  const shoal::dht::GrpcThreads grpc;
  auto plane = shoal::server::Plane::Start(config, shoal::RealFileSystem(),
                                           shoal::SystemClock());
  if (!plane.ok()) return Fail(plane.status());
  int received = 0;
  sigwait(&signals, &received);
  const absl::Status failure = (*plane)->Failure();
  shoal::LogInfo("stopping", {{"signal", received}});
  plane->reset();
  shoal::LogInfo("stopped");
  return failure.ok() ? 0 : Fail(failure);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"shoald: the management plane of a Shoal fleet"};
  app.footer(
      "Examples:\n"
      "  shoald init --data /var/lib/shoald --fleet plant-7\n"
      "  shoald import --data /var/lib/shoald repo/\n"
      "  shoald --config /var/lib/shoald/shoald.toml --check-config\n"
      "  shoald --config /var/lib/shoald/shoald.toml");
  std::string config_path;
  bool check_config = false;
  app.add_option("--config", config_path, "configuration file (TOML)");
  app.add_flag("--check-config", check_config,
               "read the configuration and the keys, then exit");

  shoal::server::InitOptions init_options;
  CLI::App* init = app.add_subcommand(
      "init", "make the online keys and a configuration file");
  init->add_option("--data", init_options.directory, "data directory")
      ->required();
  init->add_option("--fleet", init_options.fleet, "name of the fleet")
      ->required();
  init->add_option("--api", init_options.api, "where the API listens");

  std::string data;
  std::string repository;
  CLI::App* import = app.add_subcommand(
      "import", "take the first repository that the offline keys signed");
  import->add_option("--data", data, "data directory")->required();
  import->add_option("repository", repository, "as shoal-sign wrote it")
      ->required();
  CLI::App* rotate = app.add_subcommand(
      "rotate-keys",
      "after a theft: make new online keys in place of the old ones "
      "(docs/operations/stolen-server.md)");
  rotate->add_option("--data", data, "data directory")->required();
  app.require_subcommand(0, 1);
  if (const auto code = shoal::ParseCommandLine(app, argc, argv)) return *code;

  shoal::InitLog("shoald");
  shoal::FileSystem& fs = shoal::RealFileSystem();
  shoal::Clock& clock = shoal::SystemClock();
  if (*init) {
    const absl::Status status =
        shoal::server::InitPlane(init_options, fs, clock);
    if (!status.ok()) return Fail(status);
    std::cout << shoal::JoinPath(init_options.directory, "online-public.json")
              << "\n";
    return 0;
  }
  if (*rotate) {
    auto config =
        shoal::server::LoadPlaneConfig(shoal::JoinPath(data, "shoald.toml"));
    if (!config.ok()) return Fail(config.status());
    const absl::Status status = shoal::server::RotatePlaneKeys(
        config->data_dir, config->fleet, fs, clock);
    if (!status.ok()) return Fail(status);
    std::cout << shoal::JoinPath(config->data_dir, "online-public.json")
              << "\n";
    return 0;
  }
  if (*import) {
    auto config =
        shoal::server::LoadPlaneConfig(shoal::JoinPath(data, "shoald.toml"));
    if (!config.ok()) return Fail(config.status());
    const absl::Status status =
        shoal::server::ImportRepository(*config, repository, fs, clock);
    return status.ok() ? 0 : Fail(status);
  }
  if (config_path.empty()) {
    std::cerr << "shoald: --config is needed (see --help)\n";
    return shoal::kExitUsage;
  }
  auto config = shoal::server::LoadPlaneConfig(config_path);
  if (!config.ok()) return Fail(config.status());
  shoal::InitLog("shoald", config->log_level);
  if (check_config) {
    auto keys = shoal::server::LoadPlaneKeys(config->data_dir, fs);
    if (!keys.ok()) return Fail(keys.status());
    std::cout << config_path << " is fine.\n";
    return 0;
  }
  return RunPlane(*config);
}
