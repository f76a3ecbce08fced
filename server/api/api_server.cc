#include "server/api/api_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>
#include <utility>

#include "common/status.h"
#include "fmt/format.h"
#include "server/api/edge.h"

namespace shoal::server {
namespace {

// The largest request is Trust/Publish: 5 MB of metadata.
constexpr int kMaxRequestBytes = 6'000'000;
constexpr int kMaxThreads = 256;

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
  grpc::ResourceQuota quota;
  quota.SetMaxThreads(kMaxThreads);
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
