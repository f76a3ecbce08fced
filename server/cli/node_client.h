// Storage nodes' API (shoal.node.v1) over TLS in which the node's key is
// pinned by the node directory: works with shoald down.
#ifndef SHOAL_SERVER_CLI_NODE_CLIENT_H_
#define SHOAL_SERVER_CLI_NODE_CLIENT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shoal/node/v1/node_service.pb.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::cli {

struct NodeClientOptions {
  records::v1::NodeEntry node;  // grpc_address and tls_spki_sha256 are used
  std::string client_cert_pem;
  std::string client_key_pem;
  absl::Duration timeout = absl::Seconds(10);  // of a whole call
};

// Thread-safe. A node whose certificate has another key than the directory
// says is kUnavailable "unreachable".
class NodeClient {
 public:
  static absl::StatusOr<std::unique_ptr<NodeClient>> Open(
      NodeClientOptions options);
  ~NodeClient();

  absl::StatusOr<node::v1::GetStatusResponse> GetStatus();
  // Until the node has sent all it has (or an error of `each`).
  absl::Status Pull(
      const node::v1::PullRequest& request,
      const std::function<absl::Status(const node::v1::PullResponse&)>& each);

 private:
  struct Impl;
  explicit NodeClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_NODE_CLIENT_H_
