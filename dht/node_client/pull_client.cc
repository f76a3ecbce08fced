#include "dht/node_client/pull_client.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <chrono>
#include <mutex>
#include <set>
#include <utility>

#include "common/crypto/hash.h"
#include "common/crypto/secret.h"
#include "common/status.h"
#include "shoal/node/v1/node_service.grpc.pb.h"

namespace shoal::dht {
namespace {

// A record is 17 KiB at most; a status names every artifact that a node holds.
constexpr int kMaxMessageBytes = 1 << 20;
constexpr char kReasonKey[] = "shoal-reason";

// Accepts the server whose certificate holds the pinned key, and no other.
class PinVerifier final
    : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit PinVerifier(std::string spki) : spki_(std::move(spki)) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    const grpc::string_ref pem = request->peer_cert();
    const auto spki =
        crypto::SpkiSha256(std::string_view(pem.data(), pem.size()));
    *sync_status = spki.ok() && crypto::EqualConstantTime(*spki, spki_)
                       ? grpc::Status::OK
                       : grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                                      "the server's key is not the pinned one");
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest*) override {
  }

 private:
  const std::string spki_;
};

absl::Status FromGrpc(const grpc::ClientContext& context,
                      const grpc::Status& status, const std::string& address) {
  if (status.ok()) return absl::OkStatus();
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto reason = trailers.find(kReasonKey);
  const std::string message =
      fmt::format("{}: {}", address, status.error_message());
  if (reason == trailers.end()) {
    const bool away = status.error_code() == grpc::StatusCode::UNAVAILABLE;
    return MakeError(static_cast<absl::StatusCode>(status.error_code()),
                     away ? "peer_unreachable" : "peer_error", message);
  }
  return MakeError(
      static_cast<absl::StatusCode>(status.error_code()),
      std::string_view(reason->second.data(), reason->second.size()), message);
}

}  // namespace

struct PullClient::Impl {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<shoal::node::v1::Records::Stub> stub;
  std::mutex mutex;
  bool cancelled = false;
  std::set<grpc::ClientContext*> running;
};

namespace {

// A context that Cancel() reaches as long as it lives.
template <typename Impl>
class Call {
 public:
  Call(Impl& impl, absl::Duration deadline) : impl_(impl) {
    context.set_deadline(std::chrono::system_clock::now() +
                         absl::ToChronoMilliseconds(deadline));
    std::lock_guard lock(impl_.mutex);
    impl_.running.insert(&context);
    if (impl_.cancelled) context.TryCancel();
  }
  ~Call() {
    std::lock_guard lock(impl_.mutex);
    impl_.running.erase(&context);
  }
  grpc::ClientContext context;

 private:
  Impl& impl_;
};

}  // namespace

PullClient::PullClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PullClient::~PullClient() = default;

absl::StatusOr<std::unique_ptr<PullClient>> PullClient::Open(
    const PullTarget& target, const crypto::TlsKeyPair& tls) {
  if (target.spki_sha256.size() != crypto::kSha256Size) {
    return InvalidArgument("bad_certificate", "the pin must have 32 bytes");
  }
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
          "", std::vector<grpc::experimental::IdentityKeyCertPair>{
                  {std::string(tls.key_pem.view()), tls.cert_pem}}));
  options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(false);  // by the pin instead
  options.set_check_call_host(false);
  options.set_certificate_verifier(
      grpc::experimental::ExternalCertificateVerifier::Create<PinVerifier>(
          target.spki_sha256));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // Straight to the pinned node, whatever the environment says.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto impl = std::make_unique<Impl>();
  impl->address = target.address;
  impl->channel = grpc::CreateCustomChannel(
      target.address, grpc::experimental::TlsCredentials(options), arguments);
  if (impl->channel == nullptr) {
    return InvalidArgument("bad_certificate", "no channel from this key pair");
  }
  impl->stub = shoal::node::v1::Records::NewStub(impl->channel);
  return std::unique_ptr<PullClient>(new PullClient(std::move(impl)));
}

absl::StatusOr<PullPosition> PullClient::Pull(
    const PullPosition& position,
    const std::vector<records::v1::RecordKind>& kinds, bool follow,
    absl::Duration deadline, const Each& each) {
  Call call(*impl_, deadline);
  shoal::node::v1::PullRequest request;
  request.set_cursor(position.cursor);
  request.set_store_id(position.store_id);
  request.set_follow(follow);
  for (const auto kind : kinds) request.add_kinds(kind);
  auto reader = impl_->stub->Pull(&call.context, request);
  PullPosition at = position;
  shoal::node::v1::PullResponse response;
  while (reader->Read(&response)) {
    at.store_id = response.store_id();
    at.cursor = response.cursor();
    if (!each(std::move(*response.mutable_record()),
              response.has_credential() ? &response.credential() : nullptr,
              at)) {
      call.context.TryCancel();
      reader->Finish();
      return at;
    }
  }
  SHOAL_RETURN_IF_ERROR(
      FromGrpc(call.context, reader->Finish(), impl_->address));
  return at;
}

absl::Status PullClient::GetStatus(
    absl::Duration deadline, shoal::node::v1::GetStatusResponse* response) {
  Call call(*impl_, deadline);
  return FromGrpc(call.context,
                  impl_->stub->GetStatus(&call.context, {}, response),
                  impl_->address);
}

void PullClient::Cancel() {
  std::lock_guard lock(impl_->mutex);
  impl_->cancelled = true;
  for (grpc::ClientContext* context : impl_->running) context->TryCancel();
}

}  // namespace shoal::dht
