#include "server/cli/node_client.h"

#include <utility>

#include "common/crypto/hash.h"
#include "common/crypto/secret.h"
#include "common/status.h"
#include "dht/node_client/pull_client.h"

namespace shoal::cli {
namespace {

// The transport's own errors have the same reasons as those on the way to
// shoald, which decide the tool's exit code.
absl::Status AsTools(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason == "peer_unreachable") {
    return Unavailable("unreachable", std::string(status.message()));
  }
  if (reason != "peer_error") return status;
  const bool late = status.code() == absl::StatusCode::kDeadlineExceeded;
  return MakeError(status.code(), late ? "timeout" : "unspecified",
                   std::string(status.message()));
}

}  // namespace

NodeClient::NodeClient(std::unique_ptr<dht::PullClient> client,
                       absl::Duration timeout)
    : client_(std::move(client)), timeout_(timeout) {}
NodeClient::~NodeClient() = default;

absl::StatusOr<std::unique_ptr<NodeClient>> NodeClient::Open(
    NodeClientOptions options) {
  if (options.node.grpc_address().empty() ||
      options.node.tls_spki_sha256().size() != crypto::kSha256Size) {
    return FailedPrecondition("no_node_api",
                              "the node directory names no API of this node");
  }
  crypto::TlsKeyPair tls;
  tls.cert_pem = options.client_cert_pem;
  tls.key_pem = crypto::SecretBytes::TakeFrom(options.client_key_pem);
  SHOAL_ASSIGN_OR_RETURN(
      auto client,
      dht::PullClient::Open(
          {options.node.grpc_address(), options.node.tls_spki_sha256()}, tls));
  return std::unique_ptr<NodeClient>(
      new NodeClient(std::move(client), options.timeout));
}

absl::StatusOr<node::v1::GetStatusResponse> NodeClient::GetStatus() {
  node::v1::GetStatusResponse response;
  SHOAL_RETURN_IF_ERROR(AsTools(client_->GetStatus(timeout_, &response)));
  return response;
}

absl::Status NodeClient::Pull(
    records::v1::RecordKind kind,
    const std::function<void(
        std::string record, const records::v1::Credential* credential)>& each) {
  const auto pulled = client_->Pull(
      {}, {kind}, /*follow=*/false, timeout_,
      [&](std::string record, const records::v1::Credential* credential,
          const dht::PullPosition&) {
        each(std::move(record), credential);
        return true;
      });
  return AsTools(pulled.status());
}

}  // namespace shoal::cli
