#include "tests/bench/load/load_fleet.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "tests/bench/load/load_outcomes.h"

namespace shoal::bench {

using testing::BinPath;

namespace {

// Enough for receipts from three disks.
constexpr uint32_t kNodes = 3;
constexpr char kImage[] = "image two";

}  // namespace

void Check(const absl::Status& status, const std::string& what) {
  if (status.ok()) return;
  fmt::print(stderr, "{}: {}\n", what, std::string(status.message()));
  std::exit(1);
}

LoadFleet::LoadFleet(const LoadOptions& options) : options_(options) {}

void LoadFleet::Must(std::vector<std::string> arguments) {
  arguments[0] = BinPath(arguments[0]);
  const auto result = testing::Run(arguments, absl::Minutes(5));
  Check(result.status(), arguments[0]);
  if (!result->status.ok()) {
    fmt::print(stderr, "{}\n", result->output);
    std::exit(1);
  }
}

void LoadFleet::Sign(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "shoal-sign");
  for (const auto& extra :
       {std::string("--keys"), Path("keys"), std::string("--repo"),
        Path("repo"), std::string("--passphrase-file"), Path("pass"),
        std::string("--kdf"), std::string("interactive")})
    arguments.push_back(extra);
  Must(std::move(arguments));
}

void LoadFleet::Shoal(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"shoal", "--context-dir", Path("ctx")});
  Must(std::move(arguments));
}

std::string LoadFleet::Read(const std::string& name) {
  const auto text = RealFileSystem().Read(Path(name), 1 << 20);
  Check(text.status(), name);
  return *text;
}

void LoadFleet::MakeTrust() {
  Must({"shoald", "init", "--data", Path("plane"), "--fleet", "load"});
  Check(RealFileSystem().WriteAtomic(Path("pass"), "secret\n", 0600), "pass");
  Sign({"init", "--online", Path("plane/online-public.json")});
  fleet_id_ = crypto::Sha256Digest(Read("repo/metadata/1.root.json"));
  Sign({"device-type", "add", "gateway"});
  std::string operators;
  for (uint32_t i = 0; i < options_.operators; ++i) {
    const std::string name = fmt::format("op{}", i);
    Must({"shoal", "operator", "create", name, "--out", Path(name), "--role",
          "admin"});
    operators += (i == 0 ? "" : ",") + Read(name + "/operator.json");
  }
  Check(RealFileSystem().WriteAtomic(
            Path("access.json"),
            "{\"version\":\"1\",\"operators\":[" + operators +
                "],\"rules\":[{\"name\":\"admin\",\"principals\":[\"role:"
                "admin\"],\"actions\":[\"*\"]}]}"),
        "policy");
  Sign({"policy", "set", Path("access.json")});
  Check(RealFileSystem().WriteAtomic(Path("image"), kImage), "image");
  Sign({"image", "add", "--type", "gateway", "--version", "2.0", "--counter",
        "2", Path("image")});
  Must({"shoald", "import", "--data", Path("plane"), Path("repo")});
}

void LoadFleet::StartPlane() {
  shoald_ = std::make_unique<testing::HarnessProcess>(
      "shoald",
      std::vector<std::string>{BinPath("shoald"), "--config",
                               Path("plane/shoald.toml")},
      dir_);
  Check(shoald_->Start(), "shoald");
  Check(shoald_->WaitForLog("event=ready", absl::Minutes(5)), "shoald");
  std::string address = Read("plane/address");
  address.erase(address.find('\n'));
  Shoal({"context", "add", fmt::format("load{}", ++starts_), "--server",
         address, "--server-cert", Path("plane/server.crt"), "--operator",
         Path("op0")});
}

void LoadFleet::StartNodes() {
  std::vector<std::string> names;
  for (uint32_t i = 0; i < kNodes; ++i) names.push_back(fmt::format("n{}", i));
  for (uint32_t i = 0; i < options_.feeds; ++i)
    names.push_back(fmt::format("feed{}", i));
  for (const std::string& name : names)
    Must({"shoal-node", "init", "--data", Path(name), "--id", name, "--fleet",
          HexEncode(fleet_id_)});
  const std::string plane = Read("plane/server.crt");
  for (uint32_t i = 0; i < options_.feeds; ++i) {
    auto feed = LoadFeed::Start(Path(fmt::format("feed{}", i)), plane);
    Check(feed.status(), "feed");
    feeds_.push_back(*std::move(feed));
  }
  // Twice: the bundles of the second round name every node.
  for (int round = 0; round < 2; ++round)
    for (const std::string& name : names)
      Shoal({"node", "enroll", "--request", Path(name + "/enroll-request.json"),
             "--out", Path(name + "/bundle.pb")});
  for (uint32_t i = 0; i < kNodes; ++i) {
    nodes_.push_back(std::make_unique<testing::HarnessProcess>(
        names[i],
        std::vector<std::string>{BinPath("shoal-node"), "--config",
                                 Path(names[i] + "/node.toml")},
        dir_));
    Check(nodes_.back()->Start(), names[i]);
    Check(nodes_.back()->WaitForLog("event=ready", absl::Minutes(1)), names[i]);
  }
}

void LoadFleet::Start() {
  MakeTrust();
  // Its first start signs anew what it finds signed by no known director.
  StartPlane();
  shoald_->Kill(SIGTERM);
  Check(FillDevices(Path("plane"), options_.devices), "devices");
  StartPlane();
  StartNodes();
  Shoal({"release", "create", "--repo", Path("repo"), "--type", "gateway",
         "--version", "2.0"});
}

std::shared_ptr<grpc::Channel> LoadFleet::Channel(uint32_t number) {
  const std::string name = fmt::format("op{}", number);
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = Read("plane/server.crt");
  tls.pem_cert_chain = Read(name + "/tls.crt");
  tls.pem_private_key = Read(name + "/tls.key");
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride("localhost");
  std::string address = Read("plane/address");
  address.erase(address.find('\n'));
  return grpc::CreateCustomChannel(address, grpc::SslCredentials(tls),
                                   arguments);
}

void LoadFleet::Feed(const std::vector<SharedRecord>& records, uint32_t rate) {
  for (auto& feed : feeds_) feed->Offer(records, rate);
}

size_t LoadFleet::Handed() const {
  size_t most = 0;
  for (const auto& feed : feeds_) most = std::max(most, feed->handed());
  return most;
}

}  // namespace shoal::bench
