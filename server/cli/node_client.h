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
#include "shoal/records/v1/credential.pb.h"
#include "shoal/records/v1/payloads.pb.h"
#include "shoal/records/v1/record.pb.h"

namespace shoal::dht {
class PullClient;
}

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
  // Every record of `kind` that the node has; `credential` is its writer's
  // when the record names that by digest only.
  absl::Status Pull(
      records::v1::RecordKind kind,
      const std::function<void(std::string record,
                               const records::v1::Credential* credential)>&
          each);

 private:
  NodeClient(std::unique_ptr<dht::PullClient> client, absl::Duration timeout);
  const std::unique_ptr<dht::PullClient> client_;
  const absl::Duration timeout_;
};

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_NODE_CLIENT_H_
