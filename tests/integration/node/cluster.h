// Several real shoal-node processes of one test fleet, and a client of theirs.
#ifndef SHOAL_TESTS_INTEGRATION_NODE_CLUSTER_H_
#define SHOAL_TESTS_INTEGRATION_NODE_CLUSTER_H_

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dht/node_client/pull_client.h"
#include "dht/records/network.h"
#include "shoal/node/v1/node_service.pb.h"
#include "tests/support/process_harness.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_fleet.h"

namespace shoal::testing {

// A trust view of the fleet as its own reader has it.
dht::WriterResolver FleetResolver(const TestFleet& fleet);

class Cluster {
 public:
  // Makes, enrols and starts `count` nodes. `settings` is added to node.toml;
  // repair runs every second unless it says otherwise.
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(
      int count, const std::string& settings = "");

  TestFleet& fleet() { return *fleet_; }
  const TempDir& dir() const { return dir_; }
  HarnessProcess& node(size_t i) { return *nodes_[i].process; }
  size_t size() const { return nodes_.size(); }
  std::string http_address(size_t i) const {
    return nodes_[i].request.http_address();
  }

  // One more node, enrolled (the directory has a new version) and started.
  absl::Status AddNode();
  absl::Status StartNode(size_t i);
  // kill -9, then everything but keys, settings and bundle is deleted.
  void Wipe(size_t i);

  // A client with the cluster's directory; every call a new one.
  absl::StatusOr<std::unique_ptr<dht::Network>> Client();

  // Digests of all records that a node streams, over mTLS as the plane.
  absl::StatusOr<std::set<std::string>> Digests(size_t i);
  absl::StatusOr<node::v1::GetStatusResponse> Status(size_t i);
  // On how many of the nodes each of `digests` is; the lowest number.
  int FewestCopies(const std::set<std::string>& digests);

 private:
  struct Node {
    std::string dir;
    fleet::v1::EnrollNodeRequest request;
    std::unique_ptr<HarnessProcess> process;
  };
  Cluster() = default;
  absl::Status MakeNode(const std::string& settings);
  absl::Status WriteBundle(const Node& node);
  absl::StatusOr<std::unique_ptr<dht::PullClient>> Puller(size_t i);

  TempDir dir_;
  std::string settings_;
  std::unique_ptr<TestFleet> fleet_;
  std::vector<Node> nodes_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_INTEGRATION_NODE_CLUSTER_H_
