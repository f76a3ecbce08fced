#include "server/cli/node_client.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <chrono>
#include <utility>

#include "common/crypto/hash.h"
#include "common/crypto/secret.h"
#include "common/crypto/x509.h"
#include "common/status.h"
#include "server/cli/grpc_status.h"
#include "shoal/node/v1/node_service.grpc.pb.h"

namespace shoal::cli {
namespace {

namespace tls = grpc::experimental;

// A record is 17 KiB at most.
constexpr int kMaxMessage = 1 << 20;

// Accepts one key, whoever signed its certificate and whatever it names.
class PinnedKey final : public tls::ExternalCertificateVerifier {
 public:
  explicit PinnedKey(std::string spki_sha256)
      : spki_sha256_(std::move(spki_sha256)) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    const grpc::string_ref pem = request->peer_cert();
    const auto digest =
        crypto::SpkiSha256(std::string_view(pem.data(), pem.size()));
    const bool same = digest.ok() && !spki_sha256_.empty() &&
                      crypto::EqualConstantTime(*digest, spki_sha256_);
    *sync_status =
        same ? grpc::Status::OK
             : grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                            "not the key that the node directory names");
    return true;  // answered at once
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::string spki_sha256_;
};

}  // namespace

struct NodeClient::Impl {
  NodeClientOptions options;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<node::v1::Records::Stub> records;

  void SetDeadline(grpc::ClientContext& context) const {
    context.set_deadline(std::chrono::system_clock::now() +
                         absl::ToChronoMilliseconds(options.timeout));
  }
};

NodeClient::NodeClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NodeClient::~NodeClient() = default;

absl::StatusOr<std::unique_ptr<NodeClient>> NodeClient::Open(
    NodeClientOptions options) {
  if (options.node.grpc_address().empty() ||
      options.node.tls_spki_sha256().size() != crypto::kSha256Size) {
    return FailedPrecondition("no_node_api",
                              "the node directory names no API of this node");
  }
  auto provider = std::make_shared<tls::StaticDataCertificateProvider>(
      std::vector<tls::IdentityKeyCertPair>{
          {options.client_key_pem, options.client_cert_pem}});
  tls::TlsChannelCredentialsOptions credentials;
  credentials.set_certificate_provider(provider);
  credentials.watch_identity_key_cert_pairs();
  credentials.set_identity_cert_name("");
  credentials.set_certificate_verifier(
      tls::ExternalCertificateVerifier::Create<PinnedKey>(
          options.node.tls_spki_sha256()));
  // The pin stands for the chain and the name.
  credentials.set_verify_server_certs(false);
  credentials.set_check_call_host(false);
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  auto impl = std::make_unique<Impl>();
  impl->channel = grpc::CreateCustomChannel(
      options.node.grpc_address(), tls::TlsCredentials(credentials), arguments);
  impl->records = node::v1::Records::NewStub(impl->channel);
  crypto::Wipe(options.client_key_pem);
  impl->options = std::move(options);
  return std::unique_ptr<NodeClient>(new NodeClient(std::move(impl)));
}

absl::StatusOr<node::v1::GetStatusResponse> NodeClient::GetStatus() {
  grpc::ClientContext context;
  impl_->SetDeadline(context);
  node::v1::GetStatusResponse response;
  const grpc::Status status = impl_->records->GetStatus(
      &context, node::v1::GetStatusRequest(), &response);
  SHOAL_RETURN_IF_ERROR(
      FromGrpc(status, context, impl_->options.node.grpc_address()));
  return response;
}

absl::Status NodeClient::Pull(
    const node::v1::PullRequest& request,
    const std::function<absl::Status(const node::v1::PullResponse&)>& each) {
  grpc::ClientContext context;
  impl_->SetDeadline(context);
  auto reader = impl_->records->Pull(&context, request);
  node::v1::PullResponse response;
  absl::Status stopped;
  while (stopped.ok() && reader->Read(&response)) stopped = each(response);
  if (!stopped.ok()) context.TryCancel();
  while (reader->Read(&response)) {
    // What was on its way when the stream was cancelled.
  }
  const grpc::Status status = reader->Finish();
  SHOAL_RETURN_IF_ERROR(stopped);
  return FromGrpc(status, context, impl_->options.node.grpc_address());
}

}  // namespace shoal::cli
