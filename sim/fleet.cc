#include "sim/fleet.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "sim/meter.h"

namespace shoal::sim {
namespace {

constexpr size_t kMaxOutput = 64u << 20;  // a rollout names every device
constexpr size_t kImageBytes = 8192;  // of the real image, see docs/scale.md

FileSystem& fs() { return RealFileSystem(); }

absl::Status Append(const std::string& path, const std::string& text) {
  SHOAL_ASSIGN_OR_RETURN(const std::string before, fs().Read(path, 1 << 20));
  return fs().WriteAtomic(path, before + text);
}

// Bytes that no compression shortens, always the same for one seed.
std::string Noise(const std::string& seed, size_t size) {
  std::string bytes;
  while (bytes.size() < size)
    bytes += crypto::Sha256Digest(fmt::format("{}/{}", seed, bytes.size()));
  bytes.resize(size);
  return bytes;
}

}  // namespace

Fleet::~Fleet() {
  // Together, since each may take a while.
  for (Daemon& node : nodes_)
    if (node.process) node.process->Signal(SIGTERM);
  if (plane_.process) plane_.process->Signal(SIGTERM);
  for (Daemon& node : nodes_)
    if (node.process) (void)node.process->Wait(absl::Seconds(10));
  if (plane_.process) (void)plane_.process->Wait(absl::Seconds(10));
}

std::string Fleet::Path(const std::string& name) const {
  return JoinPath(directory_, name);
}

std::string Fleet::Program(const std::string& name) const {
  return JoinPath(programs_, name);
}

absl::StatusOr<std::string> Fleet::Run(std::vector<std::string> arguments) {
  const std::string shown = fmt::format("{}", fmt::join(arguments, " "));
  arguments[0] = Program(arguments[0]);
  SubprocessOptions options;
  options.arguments = std::move(arguments);
  SHOAL_ASSIGN_OR_RETURN(
      CommandResult result,
      RunCommand(std::move(options), absl::Minutes(10), kMaxOutput));
  if (result.status.ok()) return std::move(result.output);
  return Internal("command_failed",
                  fmt::format("{}: {} {}", shown, result.status.ToString(),
                              result.output.substr(0, 2000)));
}

absl::StatusOr<std::string> Fleet::Shoal(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"shoal", "--context-dir",
                                       Path("context"), "--output", "json"});
  return Run(std::move(arguments));
}

absl::Status Fleet::Sign(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "shoal-sign");
  for (const std::string& more :
       {std::string("--keys"), Path("keys"), std::string("--repo"),
        Path("repo"), std::string("--passphrase-file"), Path("passphrase"),
        std::string("--kdf"), std::string("interactive")})
    arguments.push_back(more);
  return Run(std::move(arguments)).status();
}

absl::Status Fleet::Start(int nodes) {
  SHOAL_RETURN_IF_ERROR(fs().MakeDirectories(directory_, 0700));
  SHOAL_RETURN_IF_ERROR(MakeTrust());
  SHOAL_RETURN_IF_ERROR(StartPlane());
  SHOAL_RETURN_IF_ERROR(StartNodes(nodes));
  return MakeReleases();
}

absl::Status Fleet::MakeTrust() {
  SHOAL_RETURN_IF_ERROR(
      fs().WriteAtomic(Path("passphrase"), "of a simulation\n", 0600));
  SHOAL_RETURN_IF_ERROR(
      Run({"shoald", "init", "--data", Path("shoald"), "--fleet", "sim"})
          .status());
  SHOAL_RETURN_IF_ERROR(
      Sign({"init", "--online", Path("shoald/online-public.json")}));
  SHOAL_ASSIGN_OR_RETURN(const std::string root,
                         fs().Read(Path("repo/metadata/1.root.json"), 512'000));
  fleet_id_ = HexEncode(crypto::Sha256Digest(root));
  SHOAL_RETURN_IF_ERROR(Sign({"device-type", "add", kDeviceType}));
  SHOAL_RETURN_IF_ERROR(Run({"shoal", "operator", "create", "sim", "--out",
                             Path("operator"), "--role", "admin"})
                            .status());
  SHOAL_ASSIGN_OR_RETURN(const std::string op,
                         fs().Read(Path("operator/operator.json"), 65536));
  SHOAL_RETURN_IF_ERROR(
      fs().WriteAtomic(Path("access.json"),
                       fmt::format(R"({{"version":"1","operators":[{}],"rules":[
 {{"name":"operate","principals":["role:admin"],"actions":["*"]}},
 {{"name":"install","principals":["director"],"actions":["update.install"],
   "devices":{{"all":true}}}}]}})",
                                   op)));
  SHOAL_RETURN_IF_ERROR(Sign({"policy", "set", Path("access.json")}));
  return Run({"shoald", "import", "--data", Path("shoald"), Path("repo")})
      .status();
}

absl::Status Fleet::StartDaemon(Daemon& daemon,
                                const std::vector<std::string>& arguments) {
  const FileDescriptor log(::open(Path(daemon.name + ".log").c_str(),
                                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                                  0600));
  if (!log.valid()) return ErrnoError(errno, Path(daemon.name + ".log"));
  SubprocessOptions options;
  options.arguments = arguments;
  options.descriptors = {{log.get(), 1}, {log.get(), 2}};
  options.new_session = true;  // Ctrl-C ends the simulator, and that ends them
  SHOAL_ASSIGN_OR_RETURN(Subprocess process, Subprocess::Start(options));
  daemon.process = std::make_unique<Subprocess>(std::move(process));
  const absl::Time end = absl::Now() + absl::Minutes(2);
  while (absl::Now() < end) {
    if (daemon.process->Poll())
      return Internal("daemon_ended", fmt::format("{} ended:\n{}", daemon.name,
                                                  LogTail(daemon.name)));
    SHOAL_ASSIGN_OR_RETURN(const std::string text,
                           fs().Read(Path(daemon.name + ".log"), 16u << 20));
    const size_t at = text.find("event=ready");
    if (at != std::string::npos && text.find('\n', at) != std::string::npos)
      return absl::OkStatus();
    absl::SleepFor(absl::Milliseconds(20));
  }
  return MakeError(absl::StatusCode::kDeadlineExceeded, "daemon_not_ready",
                   fmt::format("{} is not ready after two minutes:\n{}",
                               daemon.name, LogTail(daemon.name)));
}

absl::Status Fleet::StartPlane() {
  plane_ = {"shoald", Path("shoald"), "", nullptr};
  SHOAL_ASSIGN_OR_RETURN(plane_.metrics, FreeLoopbackPort());
  const std::string config = Path("shoald/shoald.toml");
  SHOAL_RETURN_IF_ERROR(
      Append(config, fmt::format("\n[metrics]\nlisten = \"{}\"\n"
                                 "\n[pairing]\nmax_pending = 100000\n",
                                 plane_.metrics)));
  SHOAL_RETURN_IF_ERROR(
      StartDaemon(plane_, {Program("shoald"), "--config", config}));
  SHOAL_ASSIGN_OR_RETURN(std::string address,
                         fs().Read(Path("shoald/address"), 256));
  address = address.substr(0, address.find('\n'));
  return Shoal({"context", "add", "sim", "--server", address, "--server-cert",
                Path("shoald/server.crt"), "--operator", Path("operator")})
      .status();
}

absl::Status Fleet::StartNodes(int count) {
  for (int i = 1; i <= count; ++i) {
    Daemon node{fmt::format("node-{}", i), Path(fmt::format("node-{}", i)), "",
                nullptr};
    SHOAL_RETURN_IF_ERROR(Run({"shoal-node", "init", "--data", node.directory,
                               "--id", node.name, "--fleet", fleet_id_})
                              .status());
    SHOAL_ASSIGN_OR_RETURN(node.metrics, FreeLoopbackPort());
    // All devices share this machine's address, as on a factory's floor.
    SHOAL_RETURN_IF_ERROR(
        Append(JoinPath(node.directory, "node.toml"),
               fmt::format("\n[metrics]\nlisten = \"{}\"\n\n[pairing]\n"
                           "requests_per_address_per_hour = 1000000\n"
                           "requests_per_hour = 1000000\n",
                           node.metrics)));
    nodes_.push_back(std::move(node));
  }
  // Twice: the bundles of the second round name every node.
  for (int round = 0; round < 2; ++round)
    for (const Daemon& node : nodes_)
      SHOAL_RETURN_IF_ERROR(
          Shoal({"node", "enroll", "--request",
                 JoinPath(node.directory, "enroll-request.json"), "--out",
                 JoinPath(node.directory, "bundle.pb")})
              .status());
  for (Daemon& node : nodes_)
    SHOAL_RETURN_IF_ERROR(
        StartDaemon(node, {Program("shoal-node"), "--config",
                           JoinPath(node.directory, "node.toml")}));
  std::vector<std::string> time_keys = {"rotate", "time"};
  for (const Daemon& node : nodes_) {
    time_keys.push_back("--add");
    time_keys.push_back(JoinPath(node.directory, node.name + "-time.pub"));
  }
  SHOAL_RETURN_IF_ERROR(Sign(std::move(time_keys)));
  return Shoal({"trust", "publish", Path("repo")}).status();
}

absl::Status Fleet::MakeReleases() {
  const std::string old_image = Noise("image", kImageBytes);
  // A twentieth changes.
  std::string new_image = old_image;
  new_image.replace(1000, kImageBytes / 20, Noise("new", kImageBytes / 20));
  int counter = 0;
  for (const auto& [version, bytes] :
       {std::pair(kOldVersion, old_image), std::pair(kNewVersion, new_image)}) {
    SHOAL_RETURN_IF_ERROR(fs().WriteAtomic(ImagePath(version), bytes));
    SHOAL_RETURN_IF_ERROR(
        Sign({"image", "add", "--type", kDeviceType, "--version", version,
              "--counter", std::to_string(++counter), ImagePath(version)}));
    SHOAL_RETURN_IF_ERROR(Shoal({"release", "create", "--repo", Path("repo"),
                                 "--type", kDeviceType, "--version", version})
                              .status());
  }
  return absl::OkStatus();
}

absl::Status Fleet::Preauthorize(const std::vector<std::string>& public_keys) {
  std::string lines;
  for (const std::string& key : public_keys)
    lines += fmt::format(R"({{"publicKey":"{}","deviceType":"{}"}})",
                         HexEncode(key), kDeviceType) +
             "\n";
  SHOAL_RETURN_IF_ERROR(fs().WriteAtomic(Path("devices.json"), lines));
  return Shoal({"device", "import", Path("devices.json"), "--yes"}).status();
}

absl::Status Fleet::MakeBootstrapFile(const std::string& path) {
  return Shoal(
             {"device", "bootstrap-file", "--type", kDeviceType, "--out", path})
      .status();
}

absl::Status Fleet::CreateRollout(const std::string& policy_yaml) {
  SHOAL_RETURN_IF_ERROR(fs().WriteAtomic(Path("rollout.yaml"), policy_yaml));
  return Shoal({"rollout", "create", "-f", Path("rollout.yaml")}).status();
}

absl::StatusOr<std::string> Fleet::GetRollout() {
  return Shoal({"rollout", "get", kRollout});
}

std::string Fleet::Ended() {
  if (plane_.process && plane_.process->Poll())
    return "shoald:\n" + LogTail("shoald");
  for (Daemon& node : nodes_)
    if (node.process && node.process->Poll())
      return node.name + ":\n" + LogTail(node.name);
  return "";
}

std::string Fleet::LogTail(const std::string& name) const {
  const auto text = fs().Read(Path(name + ".log"), 64u << 20);
  if (!text.ok()) return "";
  return text->substr(text->size() - std::min<size_t>(text->size(), 2000));
}

}  // namespace shoal::sim
