// A running storage node: everything of this folder wired together.
#ifndef SHOAL_DHT_NODE_NODE_H_
#define SHOAL_DHT_NODE_NODE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/files.h"
#include "dht/node/node_config.h"

namespace shoal::dht::node {

struct NodeAddresses {
  std::string dht, grpc, http, swarm;
};

class StorageNode {
 public:
  // Opens the disk, joins the network, loads what the disk holds, serves. `fs`
  // and `clock` outlive it. LoadNodeFiles' errors and those of the parts.
  static absl::StatusOr<std::unique_ptr<StorageNode>> Start(NodeConfig config,
                                                            FileSystem& fs,
                                                            Clock& clock);
  ~StorageNode();  // a clean stop
  NodeAddresses addresses() const;

 private:
  class Impl;
  explicit StorageNode(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_NODE_H_
