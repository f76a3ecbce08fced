#include "server/api/api_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/support/server_interceptor.h>

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "common/status.h"
#include "fmt/format.h"
#include "server/api/call_metrics.h"
#include "server/api/edge.h"

namespace shoal::server {
namespace {

// The largest request is Trust/Publish: 5 MB of metadata.
constexpr int kMaxRequestBytes = 6'000'000;
// A caller that vanished without a word frees its thread within a minute.
constexpr int kKeepaliveMillis = 40'000;
constexpr int kKeepaliveTimeoutMillis = 20'000;

// gRPC calls a request that is no protobuf message of its type INTERNAL, and
// no service ever sees it. It is the caller's mistake and gets a reason like
// every other; all that our services answer has one already.
class MalformedRequests final : public grpc::experimental::Interceptor {
 public:
  void Intercept(grpc::experimental::InterceptorBatchMethods* call) override {
    using grpc::experimental::InterceptionHookPoints;
    if (call->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS) &&
        call->GetSendStatus().error_code() == grpc::StatusCode::INTERNAL) {
      auto* metadata = call->GetSendTrailingMetadata();
      if (metadata && !metadata->contains("shoal-reason")) {
        metadata->emplace("shoal-reason", "malformed_request");
        call->ModifySendStatus(
            grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                         "the request is no message of this method's type"));
      }
    }
    call->Proceed();
  }
};

class MalformedRequestsFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new MalformedRequests;  // gRPC deletes it
  }
};

}  // namespace

struct ApiServer::Impl {
  explicit Impl(const ApiParts& parts) : edge(parts) {}
  Edge edge;
  Services services;
  std::unique_ptr<grpc::Server> server;
  std::string address;
};

ApiServer::ApiServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(
    const std::string& listen, const PlaneKeys& keys, const ApiParts& parts) {
  auto impl = std::make_unique<Impl>(parts);
  AddFleetServices(impl->edge, impl->services);
  AddReleaseServices(impl->edge, impl->services);
  AddRolloutServices(impl->edge, impl->services);

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::SslServerCredentialsOptions tls(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  tls.pem_key_cert_pairs.push_back(
      {std::string(keys.tls_key_pem.view()), keys.tls_cert_pem});
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(listen, grpc::SslServerCredentials(tls), &port);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             kKeepaliveTimeoutMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      interceptors;
  interceptors.push_back(std::make_unique<MalformedRequestsFactory>());
  // Behind the other one: it counts the status as it is sent.
  if (parts.metrics) {
    interceptors.push_back(std::make_unique<CallMetrics>(*parts.metrics));
  }
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  grpc::ResourceQuota quota;
  quota.SetMaxThreads(kMaxApiThreads);
  builder.SetResourceQuota(quota);
  for (const auto& service : impl->services) {
    builder.RegisterService(service.get());
  }
  impl->server = builder.BuildAndStart();
  if (!impl->server || port == 0) {
    return Unavailable("listen", "cannot serve the API at " + listen);
  }
  impl->address =
      fmt::format("{}:{}", listen.substr(0, listen.rfind(':')), port);
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(impl)));
}

ApiServer::~ApiServer() {
  impl_->server->Shutdown(std::chrono::system_clock::now() +
                          std::chrono::seconds(1));
  impl_->server->Wait();
}

std::string ApiServer::address() const { return impl_->address; }

}  // namespace shoal::server
