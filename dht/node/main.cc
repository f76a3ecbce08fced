// shoal-node: keeps the fleet's records on disk and serves its artifacts.
#include <pthread.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/files.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/node/node.h"
#include "dht/node/node_config.h"
#include "dht/node_client/grpc_threads.h"

namespace {

using shoal::dht::node::InitOptions;
using shoal::dht::node::NodeConfig;
using shoal::dht::node::StorageNode;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "shoal-node: %s: %s\n", shoal::ReasonOf(status).c_str(),
               std::string(status.message()).c_str());
  return 1;
}

int Init(InitOptions options, const std::string& fleet_hex) {
  auto fleet = shoal::HexDecode(fleet_hex);
  if (!fleet.ok()) return Fail(fleet.status());
  options.fleet_id = *std::move(fleet);
  const absl::Status made =
      shoal::dht::node::InitNode(options, shoal::RealFileSystem());
  if (!made.ok()) return Fail(made);
  std::printf(
      "Made %s/node.toml. Next, an operator enrols the node:\n"
      "  shoal node enroll --request %s/enroll-request.json --out "
      "%s/bundle.pb\nand then:\n  shoal-node --config %s/node.toml\n"
      "Bring %s/%s-time.pub to the custodians, so that devices believe this "
      "node about the time:\n  shoal-sign rotate time --add %s-time.pub\n",
      options.data_dir.c_str(), options.data_dir.c_str(),
      options.data_dir.c_str(), options.data_dir.c_str(),
      options.data_dir.c_str(), options.id.c_str(), options.id.c_str());
  return 0;
}

int TimeKey(const std::string& data_dir) {
  shoal::FileSystem& fs = shoal::RealFileSystem();
  const auto config =
      shoal::dht::node::LoadNodeConfig(shoal::JoinPath(data_dir, "node.toml"));
  if (!config.ok()) return Fail(config.status());
  const auto pub = shoal::dht::node::MakeTimeKey(data_dir, config->id, fs);
  if (!pub.ok()) return Fail(pub.status());
  std::printf(
      "The public key is in %s. Bring it to the custodians:\n"
      "  shoal-sign rotate time --add %s-time.pub --repo TREE\n"
      "and start the node again.\n",
      pub->c_str(), config->id.c_str());
  return 0;
}

int Serve(const std::string& config_path, bool check_only) {
  auto config = shoal::dht::node::LoadNodeConfig(config_path);
  if (!config.ok()) return Fail(config.status());
  if (check_only) {
    std::printf("%s is fine.\n", config_path.c_str());
    return 0;
  }
  shoal::InitLog("shoal-node", config->log_level);
  // Blocked before any thread starts, so that only sigwait below gets them.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  signal(SIGPIPE, SIG_IGN);

  const shoal::dht::GrpcThreads grpc;
  auto node = StorageNode::Start(*std::move(config), shoal::RealFileSystem(),
                                 shoal::SystemClock());
  if (!node.ok()) {
    shoal::LogError("start", {{"error", node.status()}});
    return 1;
  }
  const auto addresses = (*node)->addresses();
  shoal::LogInfo("ready", {{"dht", addresses.dht},
                           {"grpc", addresses.grpc},
                           {"http", addresses.http},
                           {"swarm", addresses.swarm}});
  int received = 0;
  sigwait(&ends, &received);
  shoal::LogInfo("stopping", {{"signal", received}});
  node->reset();
  shoal::LogInfo("stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Storage node: keeps a fleet's records on disk, mirrors and "
      "serves its artifacts."};
  app.footer(
      "Examples:\n"
      "  shoal-node init --data /var/lib/shoal-node --id node-1 --fleet HEX "
      "\\\n"
      "      --address 192.0.2.7 --listen 0.0.0.0\n"
      "  shoal-node time-key --data /var/lib/shoal-node\n"
      "  shoal-node --config /var/lib/shoal-node/node.toml --check-config\n"
      "  shoal-node --config /var/lib/shoal-node/node.toml");
  std::string config_path;
  bool check_only = false;
  app.add_option("--config", config_path, "settings (node.toml)");
  app.add_flag("--check-config", check_only, "check the settings, then end");
  InitOptions init;
  std::string fleet_hex;
  CLI::App* init_command = app.add_subcommand(
      "init", "make keys, settings and an enrolment request");
  init_command->add_option("--data", init.data_dir, "directory")->required();
  init_command->add_option("--id", init.id, "name of the node")->required();
  init_command->add_option("--fleet", fleet_hex, "fleet id, 64 hex digits")
      ->required();
  init_command
      ->add_option("--address", init.address, "address that others reach it at")
      ->capture_default_str();
  init_command->add_option("--listen", init.listen,
                           "address to listen at (default: --address)");
  CLI::App* time_key = app.add_subcommand(
      "time-key", "make the key by which this node tells devices the time");
  std::string time_key_data;
  time_key->add_option("--data", time_key_data, "directory")->required();
  app.set_version_flag("--version", SHOAL_VERSION);
  if (const auto code = shoal::ParseCommandLine(app, argc, argv)) return *code;
  if (init_command->parsed()) return Init(init, fleet_hex);
  if (time_key->parsed()) return TimeKey(time_key_data);
  if (config_path.empty()) {
    std::fprintf(stderr, "shoal-node: --config is needed (see --help)\n");
    return shoal::kExitUsage;
  }
  return Serve(config_path, check_only);
}
