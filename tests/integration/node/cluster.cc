#include "tests/integration/node/cluster.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <csignal>
#include <filesystem>
#include <map>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"
#include "dht/node/writer_resolver.h"

namespace shoal::testing {
namespace {

constexpr char kFastSettings[] =
    "\n[repair]\ninterval = \"500ms\"\naway_after = \"20s\"\n\n"
    "[mirror]\ninterval = \"300ms\"\ngrace = \"2s\"\n\n"
    "[log]\nlevel = \"debug\"\n";

}  // namespace

dht::WriterResolver FleetResolver(const TestFleet& fleet) {
  signing::FleetTrust trust;
  trust.fleet_id = fleet.fleet_id();
  trust.device_ca_keys = {fleet.device_ca().public_key()};
  trust.node_ca_keys = {fleet.node_ca().public_key()};
  trust.director_keys = {fleet.director_key().public_key()};
  const auto printed = google::protobuf::util::MessageToJsonString(
      fleet.policy(), &trust.policy_json);
  if (!printed.ok()) trust.policy_json.clear();
  auto view = dht::node::TrustView::Make(std::move(trust));
  return
      [view = *std::move(view)](const dht::RecordBody& body, absl::Time now) {
        return view->Resolve(body, now);
      };
}

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Start(
    int count, const std::string& settings) {
  std::unique_ptr<Cluster> cluster(new Cluster());
  cluster->settings_ = settings.empty() ? kFastSettings : settings;
  SHOAL_ASSIGN_OR_RETURN(cluster->fleet_,
                         TestFleet::Create(cluster->dir_.File("fleet")));
  for (int i = 0; i < count; ++i) {
    SHOAL_RETURN_IF_ERROR(cluster->MakeNode(cluster->settings_));
  }
  // Now every bundle can name every node.
  for (size_t i = 0; i < cluster->size(); ++i) {
    SHOAL_RETURN_IF_ERROR(cluster->WriteBundle(cluster->nodes_[i]));
    SHOAL_RETURN_IF_ERROR(cluster->node(i).Start());
  }
  for (size_t i = 0; i < cluster->size(); ++i) {
    SHOAL_RETURN_IF_ERROR(
        cluster->node(i).WaitForLog("event=ready", absl::Seconds(30)));
  }
  return cluster;
}

absl::Status Cluster::MakeNode(const std::string& settings) {
  Node node;
  const std::string name = fmt::format("node-{}", nodes_.size());
  node.dir = dir_.File(name);
  SHOAL_ASSIGN_OR_RETURN(
      const CommandResult made,
      Run({BinPath("shoal-node"), "init", "--data", node.dir, "--id", name,
           "--fleet", HexEncode(fleet_->fleet_id())}));
  if (!made.status.ok()) return Internal("init_failed", made.output);
  const std::string config = JoinPath(node.dir, "node.toml");
  SHOAL_ASSIGN_OR_RETURN(const std::string toml,
                         RealFileSystem().Read(config, 65536));
  SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(config, toml + settings));
  SHOAL_ASSIGN_OR_RETURN(
      const std::string json,
      RealFileSystem().Read(JoinPath(node.dir, "enroll-request.json"), 65536));
  if (!google::protobuf::util::JsonStringToMessage(json, &node.request).ok()) {
    return Internal("bad_request", json);
  }
  SHOAL_RETURN_IF_ERROR(fleet_->EnrollNode(node.request));
  node.process = std::make_unique<HarnessProcess>(
      name, std::vector<std::string>{BinPath("shoal-node"), "--config", config},
      dir_);
  nodes_.push_back(std::move(node));
  return absl::OkStatus();
}

absl::Status Cluster::WriteBundle(const Node& node) {
  SHOAL_ASSIGN_OR_RETURN(const auto bundle,
                         fleet_->BundleFor(node.request.public_key()));
  return RealFileSystem().WriteAtomic(JoinPath(node.dir, "bundle.pb"),
                                      bundle.SerializeAsString());
}

absl::Status Cluster::AddNode() {
  SHOAL_RETURN_IF_ERROR(MakeNode(settings_));
  SHOAL_RETURN_IF_ERROR(WriteBundle(nodes_.back()));
  return StartNode(nodes_.size() - 1);
}

absl::Status Cluster::StartNode(size_t i) {
  SHOAL_RETURN_IF_ERROR(node(i).Start());
  return node(i).WaitForLog("event=ready", absl::Seconds(30));
}

void Cluster::Wipe(size_t i) {
  if (node(i).Running()) node(i).Kill(SIGKILL);
  const std::set<std::string> kept = {"keys", "node.toml", "bundle.pb",
                                      "tls.crt", "enroll-request.json"};
  for (const auto& entry : std::filesystem::directory_iterator(nodes_[i].dir)) {
    if (!kept.contains(entry.path().filename().string())) {
      std::filesystem::remove_all(entry.path());
    }
  }
}

absl::StatusOr<std::unique_ptr<dht::Network>> Cluster::Client() {
  dht::NetworkOptions options;
  options.fleet_id = fleet_->fleet_id();
  for (const auto& key : fleet_->network().keys()) options.keys.push_back(key);
  options.place_key = fleet_->network().place_key();
  options.directory = fleet_->directory();
  options.resolver = FleetResolver(*fleet_);
  options.clock = &SystemClock();
  SHOAL_ASSIGN_OR_RETURN(auto network, dht::Network::Open(std::move(options)));
  SHOAL_RETURN_IF_ERROR(network->WaitUntilConnected(absl::Seconds(20)));
  return network;
}

absl::StatusOr<std::unique_ptr<dht::PullClient>> Cluster::Puller(size_t i) {
  return dht::PullClient::Open(
      {nodes_[i].request.grpc_address(), nodes_[i].request.tls_spki_sha256()},
      fleet_->plane_tls());
}

absl::StatusOr<std::set<std::string>> Cluster::Digests(size_t i) {
  SHOAL_ASSIGN_OR_RETURN(auto puller, Puller(i));
  std::set<std::string> digests;
  SHOAL_RETURN_IF_ERROR(
      puller->Pull({}, {}, false, absl::Seconds(20),
                   [&](std::string record, const records::v1::Credential*,
                       const dht::PullPosition&) {
                     if (!record.empty())
                       digests.insert(dht::RecordDigest(record));
                     return true;
                   }));
  return digests;
}

absl::StatusOr<node::v1::GetStatusResponse> Cluster::Status(size_t i) {
  SHOAL_ASSIGN_OR_RETURN(auto puller, Puller(i));
  node::v1::GetStatusResponse response;
  SHOAL_RETURN_IF_ERROR(puller->GetStatus(absl::Seconds(10), &response));
  return response;
}

int Cluster::FewestCopies(const std::set<std::string>& digests) {
  std::map<std::string, int> copies;
  for (const std::string& digest : digests) copies[digest] = 0;
  for (size_t i = 0; i < size(); ++i) {
    if (!node(i).Running()) continue;
    const auto held = Digests(i);
    if (!held.ok()) continue;
    for (const std::string& digest : *held) {
      if (const auto it = copies.find(digest); it != copies.end()) ++it->second;
    }
  }
  int fewest = static_cast<int>(size());
  for (const auto& [digest, count] : copies) fewest = std::min(fewest, count);
  return fewest;
}

}  // namespace shoal::testing
