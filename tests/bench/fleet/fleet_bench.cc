// A fleet of N devices (default 100,000) in the store of a real shoald: what a
// filtered list costs through its API, what changes cost, what it takes.
//
//   build/dev/bin/… is where the programs are; run from anywhere:
//   taskset -c 0,1 build/release/tests/bench/fleet/fleet_bench 100000
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "common/files.h"
#include "shoal/fleet/v1/device_service.grpc.pb.h"
#include "tests/bench/fleet/fleet_fill.h"
#include "tests/support/process_harness.h"
#include "tests/support/temp_dir.h"

namespace shoal::bench {
namespace {

using testing::BinPath;
using Steady = std::chrono::steady_clock;

void Check(const absl::Status& status, const char* what) {
  if (status.ok()) return;
  fmt::print(stderr, "{}: {}\n", what, std::string(status.message()));
  exit(1);
}

class Bench {
 public:
  void SetUp() {
    Must({"shoald", "init", "--data", Path("plane"), "--fleet", "bench"});
    Check(RealFileSystem().WriteAtomic(Path("pass"), "secret\n", 0600), "pass");
    Sign({"init", "--online", Path("plane/online-public.json")});
    Sign({"device-type", "add", "gateway"});
    Must({"shoal", "operator", "create", "ann", "--out", Path("ann"), "--role",
          "admin"});
    Check(RealFileSystem().WriteAtomic(
              Path("access.json"),
              "{\"version\":\"1\",\"operators\":[" + Read("ann/operator.json") +
                  "],\"rules\":[{\"name\":\"admin\",\"principals\":[\"role:"
                  "admin\"],\"actions\":[\"*\"]}]}"),
          "policy");
    Sign({"policy", "set", Path("access.json")});
    Must({"shoald", "import", "--data", Path("plane"), Path("repo")});
  }

  void Fill(uint32_t devices) {
    const auto result = FillFleet(Path("plane"), devices);
    Check(result.status(), "fill");
    fmt::print("devices put in, 500 a transaction      {:>9.0f} /s\n",
               result->devices_per_second);
    fmt::print("membership changes, 256 a transaction  {:>9.0f} /s\n",
               result->batched_moves_per_second);
    fmt::print("membership changes, one a transaction  {:>9.0f} /s\n",
               result->single_moves_per_second);
    fmt::print("reports taken over, 256 a transaction  {:>9.0f} /s\n",
               result->reports_per_second);
    fmt::print("what devices run, by reading them      {:>9.3f} ms\n",
               result->running_by_scan_ms);
    fmt::print("the same by the counts beside them     {:>9.3f} ms\n",
               result->running_by_counts_ms);
    fmt::print("store on disk                          {:>9.1f} MB\n",
               static_cast<double>(result->disk_bytes) / 1e6);
  }

  void Serve() {
    const auto start = Steady::now();
    shoald_ = std::make_unique<testing::HarnessProcess>(
        "shoald",
        std::vector<std::string>{BinPath("shoald"), "--config",
                                 Path("plane/shoald.toml")},
        dir_);
    Check(shoald_->Start(), "shoald");
    Check(shoald_->WaitForLog("event=ready", absl::Seconds(300)), "ready");
    fmt::print("shoald ready after                     {:>9.1f} s\n",
               Since(start) / 1e3);
    Memory("after the start");
    std::string address = Read("plane/address");
    address.erase(address.find('\n'));
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = Read("plane/server.crt");
    tls.pem_cert_chain = Read("ann/tls.crt");
    tls.pem_private_key = Read("ann/tls.key");
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    client_ = fleet::v1::Devices::NewStub(grpc::CreateCustomChannel(
        address, grpc::SslCredentials(tls), arguments));
  }

  void Memory(const char* when) {
    std::ifstream status(fmt::format("/proc/{}/status", shoald_->pid()));
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("VmRSS:", 0) == 0) {
        fmt::print("resident {:<29} {:>9.1f} MB\n", when,
                   std::strtod(line.c_str() + 6, nullptr) / 1024);
      }
    }
  }

  void List(const std::string& filter, const std::string& order, int calls) {
    std::vector<double> times;
    fleet::v1::ListDevicesRequest request;
    request.set_filter(filter);
    request.set_order_by(order);
    int total = 0;
    for (int i = 0; i < calls; ++i) {
      const auto start = Steady::now();
      grpc::ClientContext context;
      fleet::v1::ListDevicesResponse page;
      const grpc::Status status =
          client_->ListDevices(&context, request, &page);
      times.push_back(Since(start));
      if (!status.ok()) {
        fmt::print(stderr, "{}: {}\n", filter, status.error_message());
        exit(1);
      }
      total = page.total_size();
    }
    std::sort(times.begin(), times.end());
    fmt::print("{:7.2f} {:7.2f} {:7} {}{}\n", times[times.size() / 2],
               times[times.size() * 99 / 100], total,
               filter.empty() ? "(all)" : filter,
               order.empty() ? "" : "  by " + order);
  }

 private:
  static double Since(Steady::time_point start) {
    return std::chrono::duration<double, std::milli>(Steady::now() - start)
        .count();
  }
  std::string Path(const std::string& name) const { return dir_.File(name); }
  std::string Read(const std::string& name) {
    const auto text = RealFileSystem().Read(Path(name), 1 << 20);
    Check(text.status(), name.c_str());
    return *text;
  }
  void Must(std::vector<std::string> arguments) {
    arguments[0] = BinPath(arguments[0]);
    const auto result = testing::Run(arguments);
    Check(result.status(), arguments[0].c_str());
    if (!result->status.ok()) {
      fmt::print(stderr, "{}\n", result->output);
      exit(1);
    }
  }
  void Sign(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "shoal-sign");
    for (const auto& extra :
         {std::string("--keys"), Path("keys"), std::string("--repo"),
          Path("repo"), std::string("--passphrase-file"), Path("pass"),
          std::string("--kdf"), std::string("interactive")}) {
      arguments.push_back(extra);
    }
    Must(std::move(arguments));
  }
  testing::TempDir dir_;
  std::unique_ptr<testing::HarnessProcess> shoald_;
  std::unique_ptr<fleet::v1::Devices::Stub> client_;
};

}  // namespace

int Main(uint32_t devices) {
  Bench bench;
  bench.SetUp();
  fmt::print("{} devices\n", devices);
  bench.Fill(devices);
  bench.Serve();
  fmt::print(
      "first page of 50, milliseconds\n    p50     p99  matches filter\n");
  for (const char* filter :
       {"", "labels.site = site-17", "labels.ring = ring-1",
        "labels.ring = ring-1 AND labels.site = site-17 AND state = accepted",
        "labels.customer = customer-3 AND running_version < 1.5.0",
        "NOT labels.maintenance:* AND inventory.network = cellular",
        "inventory.memory_kb >= 4000000 OR inventory.cpus > 2",
        "last_seen < -7d", "last_seen > -1h AND labels.ring = ring-2",
        "last_seen < -20d AND NOT group = dynamic-16", "group = dynamic-3",
        "inventory.hostname = gw-054321", "inventory.hostname:gw-0543*",
        "inventory.hostname:*4321", "inventory.hostname > gw-099990",
        "name:devices/00*", "labels.site = nowhere"}) {
    bench.List(filter, "", 200);
  }
  bench.List("labels.ring = ring-1", "last_seen desc", 200);
  bench.List("labels.site = site-17", "last_seen", 200);
  bench.Memory("after the lists");
  return 0;
}

}  // namespace shoal::bench

int main(int argc, char** argv) {
  const long devices = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 100'000;
  if (devices < 1 || devices > 10'000'000) {
    fprintf(stderr, "usage: fleet_bench [DEVICES]\n");
    return 2;
  }
  return shoal::bench::Main(static_cast<uint32_t>(devices));
}
