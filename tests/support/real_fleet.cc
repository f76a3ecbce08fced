#include "tests/support/real_fleet.h"

#include <fmt/format.h>
#include <signal.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"

namespace shoal::testing {
namespace {

absl::Status Must(std::vector<std::string> arguments, std::string* output) {
  SHOAL_ASSIGN_OR_RETURN(const CommandResult result, Run(arguments));
  if (output != nullptr) *output = result.output;
  if (result.status.ok()) return absl::OkStatus();
  return Internal("command_failed", fmt::format("{} {}: {}", arguments[0],
                                                arguments[1], result.output));
}

}  // namespace

RealFleet::RealFleet(const TempDir& dir, int nodes)
    : dir_(dir), helper_(crypto::SigningKey::Generate()) {
  for (int i = 1; i <= nodes; ++i)
    node_names_.push_back(fmt::format("node-{}", i));
}

absl::StatusOr<std::unique_ptr<RealFleet>> RealFleet::Start(
    const TempDir& dir, const RealFleetOptions& options) {
  auto fleet = std::unique_ptr<RealFleet>(new RealFleet(dir, options.nodes));
  SHOAL_RETURN_IF_ERROR(fleet->MakeTrust(options.approvals));
  SHOAL_RETURN_IF_ERROR(fleet->StartPlane());
  SHOAL_RETURN_IF_ERROR(fleet->Connect("first"));
  SHOAL_RETURN_IF_ERROR(fleet->StartNodes());
  if (options.time_keys) SHOAL_RETURN_IF_ERROR(fleet->NameTimeKeys());
  SHOAL_RETURN_IF_ERROR(fleet->MakeReleases());
  SHOAL_RETURN_IF_ERROR(fleet->PairDevice(options.update_settings));
  SHOAL_RETURN_IF_ERROR(fleet->FirstRollout(options.approvals > 0));
  SHOAL_RETURN_IF_ERROR(fleet->WaitForMirrors());
  return fleet;
}

absl::StatusOr<std::unique_ptr<RealFleet>> RealFleet::StartEmpty(
    const TempDir& dir, const std::string& plane_settings, int nodes) {
  auto fleet = std::unique_ptr<RealFleet>(new RealFleet(dir, nodes));
  SHOAL_RETURN_IF_ERROR(fleet->MakeTrust());
  const std::string path = fleet->Path("plane/shoald.toml");
  SHOAL_ASSIGN_OR_RETURN(const std::string config,
                         RealFileSystem().Read(path, 65536));
  SHOAL_RETURN_IF_ERROR(
      RealFileSystem().WriteAtomic(path, config + plane_settings));
  SHOAL_RETURN_IF_ERROR(fleet->StartPlane());
  SHOAL_RETURN_IF_ERROR(fleet->Connect("first"));
  SHOAL_RETURN_IF_ERROR(fleet->StartNodes());
  return fleet;
}

absl::Status RealFleet::Sign(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), BinPath("shoal-sign"));
  for (const std::string& more :
       {std::string("--keys"), Path("keys"), std::string("--repo"),
        Path("repo"), std::string("--passphrase-file"), Path("pass"),
        std::string("--kdf"), std::string("interactive")})
    arguments.push_back(more);
  return Must(std::move(arguments), nullptr);
}

absl::StatusOr<std::string> RealFleet::Shoal(
    std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {BinPath("shoal"), "--context-dir",
                                       Path("context-" + context_)});
  std::string output;
  SHOAL_RETURN_IF_ERROR(Must(std::move(arguments), &output));
  return output;
}

absl::Status RealFleet::Shoald(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), BinPath("shoald"));
  return Must(std::move(arguments), nullptr);
}

absl::Status RealFleet::MakeTrust(int approvals) {
  FileSystem& fs = RealFileSystem();
  SHOAL_RETURN_IF_ERROR(
      Shoald({"init", "--data", plane_directory(), "--fleet", "plant-7"}));
  SHOAL_RETURN_IF_ERROR(fs.WriteAtomic(Path("pass"), "open sesame\n", 0600));
  SHOAL_RETURN_IF_ERROR(
      Sign({"init", "--online", Path("plane/online-public.json")}));
  SHOAL_ASSIGN_OR_RETURN(const std::string root,
                         fs.Read(Path("repo/metadata/1.root.json"), 512'000));
  fleet_id_ = crypto::Sha256Digest(root);
  SHOAL_RETURN_IF_ERROR(Sign({"device-type", "add", "gateway"}));
  SHOAL_RETURN_IF_ERROR(Sign({"device-type", "add", "camera"}));
  SHOAL_RETURN_IF_ERROR(Must({BinPath("shoal"), "operator", "create", "ann",
                              "--out", Path("ann"), "--role", "admin"},
                             nullptr));
  SHOAL_ASSIGN_OR_RETURN(const std::string ann,
                         fs.Read(Path("ann/operator.json"), 65536));
  SHOAL_RETURN_IF_ERROR(fs.WriteAtomic(
      Path("access.json"),
      fmt::format(
          R"({{"version":"1","operators":[{},{{"name":"helper","publicKey":"{}"}}],
"rules":[
 {{"name":"operate","principals":["role:admin"],"actions":["*"]}},
 {{"name":"read","principals":["role:admin"],"actions":["telemetry.read"],
   "devices":{{"all":true}}}},
 {{"name":"install","principals":["director"],"actions":["update.install"],
   "devices":{{"all":true}},"conditions":{{"approvals":{}}}}},
 {{"name":"greet","principals":["operator:helper"],
   "actions":["command.run:greet"],"devices":{{"labels":{{"ring":"lab"}}}}}}]}})",
          ann, HexEncode(helper_.public_key()), approvals)));
  SHOAL_RETURN_IF_ERROR(Sign({"policy", "set", Path("access.json")}));
  return Shoald({"import", "--data", plane_directory(), Path("repo")});
}

absl::Status RealFleet::StartPlaneFrom(const std::string& directory) {
  SHOAL_RETURN_IF_ERROR(LaunchPlaneFrom(directory));
  return plane_->WaitForLog("event=ready");
}

absl::Status RealFleet::LaunchPlaneFrom(const std::string& directory) {
  plane_name_ = directory;
  const std::string config = Path(directory + "/shoald.toml");
  SHOAL_ASSIGN_OR_RETURN(std::string text,
                         RealFileSystem().Read(config, 65536));
  const std::string old = "\"" + Path("plane");
  for (size_t at = text.find(old); at != text.npos;
       at = text.find(old, at + 1)) {
    text.replace(at, old.size(), "\"" + Path(directory));
  }
  SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(config, text));
  plane_ = std::make_unique<HarnessProcess>(
      directory == "plane" ? "shoald" : "shoald-" + directory,
      std::vector<std::string>{BinPath("shoald"), "--config", config}, dir_);
  plane_->ShiftClock(plane_shift_);
  return plane_->Start();
}

absl::Status RealFleet::Connect(const std::string& context) {
  context_ = context;
  SHOAL_ASSIGN_OR_RETURN(
      std::string address,
      RealFileSystem().Read(Path(plane_name_ + "/address"), 256));
  address = address.substr(0, address.find('\n'));
  return Shoal({"context", "add", "fleet", "--server", address, "--server-cert",
                Path("plane/server.crt"), "--operator", Path("ann")})
      .status();
}

absl::Status RealFleet::EnrolNode(const std::string& name) {
  return Shoal({"node", "enroll", "--request",
                Path(name + "/enroll-request.json"), "--out",
                Path(name + "/bundle.pb")})
      .status();
}

absl::Status RealFleet::Recover() {
  // New online keys, on a clean machine;
  SHOAL_RETURN_IF_ERROR(Shoald({"rotate-keys", "--data", plane_directory()}));
  // the custodians name them;
  SHOAL_RETURN_IF_ERROR(
      Sign({"rotate", "online", "--online", Path("plane/online-public.json")}));
  // the plane takes what they signed;
  SHOAL_RETURN_IF_ERROR(
      Shoald({"import", "--data", plane_directory(), Path("repo")}));
  SHOAL_RETURN_IF_ERROR(StartPlane());
  // the storage nodes, under the new node CA: all stop before one starts.
  SHOAL_RETURN_IF_ERROR(Connect("second"));
  for (const std::string& node : node_names_)
    SHOAL_RETURN_IF_ERROR(EnrolNode(node));
  for (const std::string& node : node_names_) StopNode(node);
  for (const std::string& node : node_names_)
    SHOAL_RETURN_IF_ERROR(RestartNode(node));
  return absl::OkStatus();
}

absl::Status RealFleet::RestartNode(const std::string& name) {
  auto& process = nodes_[name];
  if (!process)
    process = std::make_unique<HarnessProcess>(
        name,
        std::vector<std::string>{BinPath("shoal-node"), "--config",
                                 Path(name + "/node.toml")},
        dir_);
  else
    process->Kill(SIGKILL);
  SHOAL_RETURN_IF_ERROR(process->Start());
  return process->WaitForLog("event=ready");
}

void RealFleet::AddNodeSettings(const std::string& name,
                                const std::string& toml) {
  const std::string path = Path(name + "/node.toml");
  WriteText(path, ReadText(path) + toml);
}

absl::Status RealFleet::StartNodes() {
  for (const std::string& name : node_names_)
    SHOAL_RETURN_IF_ERROR(
        Must({BinPath("shoal-node"), "init", "--data", Path(name), "--id", name,
              "--fleet", HexEncode(fleet_id_)},
             nullptr));
  // Twice: the bundles of the second round name every node.
  for (int round = 0; round < 2; ++round)
    for (const std::string& name : node_names_)
      SHOAL_RETURN_IF_ERROR(EnrolNode(name));
  for (const std::string& name : node_names_)
    SHOAL_RETURN_IF_ERROR(RestartNode(name));
  return absl::OkStatus();
}

// The ceremony of docs/operations/first-fleet.md: what each node made at its
// init goes to the custodians, and what they sign to the plane.
absl::Status RealFleet::NameTimeKeys() {
  std::vector<std::string> rotate = {"rotate", "time"};
  for (const std::string& name : node_names_) {
    rotate.push_back("--add");
    rotate.push_back(Path(name + "/" + name + "-time.pub"));
  }
  SHOAL_RETURN_IF_ERROR(Sign(std::move(rotate)));
  return Shoal({"trust", "publish", Path("repo")}).status();
}

absl::Status RealFleet::MakeReleases() {
  struct Image {
    const char* type;
    const char* version;
    const char* counter;
    const char* min_counter;
  };
  for (const Image& image :
       {Image{"gateway", "1.0", "1", "0"}, Image{"gateway", "3.0", "3", "3"},
        Image{"gateway", "4.0", "4", "3"}, Image{"gateway", "5.0", "5", "3"},
        Image{"camera", "1.0", "1", "0"}}) {
    const std::string bytes =
        std::string(40'000, image.version[0]) + image.type;
    if (std::string(image.type) == "gateway") images_[image.version] = bytes;
    SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(Path("image"), bytes));
    SHOAL_RETURN_IF_ERROR(
        Sign({"image", "add", "--type", image.type, "--version", image.version,
              "--counter", image.counter, "--min-counter", image.min_counter,
              Path("image")}));
    SHOAL_RETURN_IF_ERROR(
        Shoal({"release", "create", "--repo", Path("repo"), "--type",
               image.type, "--version", image.version})
            .status());
  }
  return absl::OkStatus();
}

// A plane may be killed as soon as the fleet is there: what it released has to
// be on other disks by then.
absl::Status RealFleet::WaitForMirrors() {
  for (const auto& [version, bytes] : images_) {
    if (version == "factory") continue;  // was never released
    for (const std::string& name : node_names_)
      SHOAL_RETURN_IF_ERROR(nodes_[name]->WaitForLog(
          "event=mirrored sha256=" + HexEncode(crypto::Sha256Digest(bytes)),
          absl::Seconds(60)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Device>> RealFleet::NewDevice(
    const std::string& name, const std::string& image) {
  const std::string ticket = Path(name + ".ticket");
  SHOAL_RETURN_IF_ERROR(Shoal({"device", "ticket", "--type", "gateway",
                               "--no-qr", "--out", ticket})
                            .status());
  auto device = std::make_unique<Device>(dir_, name);
  SHOAL_RETURN_IF_ERROR(
      device->Init({"--image", image, "--ticket-file", ticket}));
  return device;
}

absl::Status RealFleet::PairDevice(const std::string& update_settings) {
  images_["factory"] = std::string(40'000, 'f');
  SHOAL_RETURN_IF_ERROR(
      RealFileSystem().WriteAtomic(Path("factory"), images_["factory"]));
  SHOAL_ASSIGN_OR_RETURN(device_, NewDevice("device", Path("factory")));
  device_->Replace("interval = \"60s\"", "interval = \"200ms\"");
  device_->Replace("[network]\n", "[network]\nlog_interval = \"1s\"\n");
  device_->Configure(
      fmt::format("\n[commands.greet]\nprogram = "
                  "\"/usr/bin/touch\"\narguments = [\"{}\"]\n"
                  "\n[log]\nlevel = \"debug\"\n",
                  order_taken()));
  device_->Replace("reboot = \"auto\"",
                   "reboot = \"auto\"\n" + update_settings);
  device_->PowerOn();
  return device_->process().WaitForLog("event=paired");
}

absl::Status RealFleet::FirstRollout(bool approve) {
  SHOAL_RETURN_IF_ERROR(
      Shoal({"rollout", "create", "--id", "honest", "--release", "gateway/3.0",
             "--phase", "all:percent=100"})
          .status());
  if (approve) {
    SHOAL_RETURN_IF_ERROR(WaitFor("the device to wait for approvals", [&] {
      return device_->Status()["live"].value("waiting_reason", "") ==
             "approvals_missing";
    }));
    SHOAL_RETURN_IF_ERROR(
        Shoal({"rollout", "approve", "honest", "--phase", "all"}).status());
  }
  return WaitFor(
      "the honest update to 3.0",
      [&] { return device_->RunningVersion() == "3.0" && device_->Idle(); },
      absl::Seconds(60));
}

}  // namespace shoal::testing
