#include "dht/node/records_server.h"

#include <fmt/format.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <atomic>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/node/request_limits.h"
#include "shoal/node/v1/node_service.grpc.pb.h"

namespace shoal::dht::node {
namespace {

constexpr size_t kReadAtOnce = 256;
constexpr char kReasonKey[] = "shoal-reason";

grpc::Status ToGrpc(grpc::ServerContext* context, const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  context->AddTrailingMetadata(kReasonKey, ReasonOf(status));
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message()));
}

// Counts a stream as long as it lives.
class StreamSlot {
 public:
  StreamSlot(std::atomic<int>& streams, int max)
      : streams_(streams), taken_(streams_.fetch_add(1) < max) {}
  ~StreamSlot() { streams_.fetch_sub(1); }
  bool taken() const { return taken_; }

 private:
  std::atomic<int>& streams_;
  const bool taken_;
};

class Service final : public shoal::node::v1::Records::Service {
 public:
  Service(const RecordsServerOptions& options, const RecordStore& store,
          RecordsServerHooks hooks)
      : options_(options), store_(store), hooks_(std::move(hooks)) {}

  void Stop() { stopping_ = true; }

  grpc::Status Pull(
      grpc::ServerContext* context, const shoal::node::v1::PullRequest* request,
      grpc::ServerWriter<shoal::node::v1::PullResponse>* writer) override {
    if (const absl::Status caller = CheckCaller(*context); !caller.ok()) {
      return ToGrpc(context, caller);
    }
    StreamSlot slot(streams_, options_.max_streams);
    if (!slot.taken()) {
      return ToGrpc(context, ResourceExhausted("too_many_streams",
                                               "try another node or later"));
    }
    if (const absl::Status fits = CheckRequest(*request); !fits.ok()) {
      return ToGrpc(context, fits);
    }
    return ToGrpc(context, Stream(*context, *request, *writer));
  }

  grpc::Status GetStatus(
      grpc::ServerContext* context, const shoal::node::v1::GetStatusRequest*,
      shoal::node::v1::GetStatusResponse* response) override {
    if (const absl::Status caller = CheckCaller(*context); !caller.ok()) {
      return ToGrpc(context, caller);
    }
    const RecordStoreStats stats = store_.Stats();
    hooks_.status(response);
    response->set_store_id(store_.store_id());
    response->set_records(stats.records);
    response->set_bytes(stats.bytes);
    return grpc::Status::OK;
  }

 private:
  absl::Status CheckCaller(const grpc::ServerContext& context) const {
    const auto auth = context.auth_context();
    const auto pem = auth->FindPropertyValues("x509_pem_cert");
    if (pem.empty()) {
      return PermissionDenied("no_client_certificate",
                              "a client certificate is needed");
    }
    SHOAL_ASSIGN_OR_RETURN(
        const std::string spki,
        crypto::SpkiSha256(std::string_view(pem[0].data(), pem[0].size())));
    if (!hooks_.may_call(spki)) {
      return PermissionDenied("unknown_caller",
                              "the client's key is neither a plane's, a "
                              "storage node's nor an operator's");
    }
    return absl::OkStatus();
  }

  // A reader that starts here may never have seen the full credential.
  void AddCredential(const std::string& bytes,
                     shoal::node::v1::PullResponse* response) const {
    const auto body = BodyOf(bytes);
    if (!body || body->credential_digest().empty()) return;
    auto credential = store_.GetCredential(body->credential_digest());
    if (credential.ok() && credential->has_value()) {
      *response->mutable_credential() = std::move(**credential);
    }
  }

  absl::Status Stream(
      grpc::ServerContext& context, const shoal::node::v1::PullRequest& request,
      grpc::ServerWriter<shoal::node::v1::PullResponse>& writer) {
    std::vector<records::v1::RecordKind> kinds;
    for (const int kind : request.kinds()) {
      kinds.push_back(static_cast<records::v1::RecordKind>(kind));
    }
    uint64_t cursor =
        request.store_id() == store_.store_id() ? request.cursor() : 0;
    shoal::node::v1::PullResponse response;
    response.set_store_id(store_.store_id());
    absl::Duration silent = absl::ZeroDuration();
    bool caught_up = false;
    while (!context.IsCancelled() && !stopping_) {
      const uint64_t before = cursor;
      std::vector<RecordStore::Entry> entries;
      SHOAL_ASSIGN_OR_RETURN(cursor,
                             store_.Read(before, kinds, kReadAtOnce, &entries));
      for (RecordStore::Entry& entry : entries) {
        response.set_cursor(entry.sequence);
        response.clear_credential();
        AddCredential(entry.bytes, &response);
        response.set_record(std::move(entry.bytes));
        if (!writer.Write(response)) return absl::OkStatus();
      }
      response.clear_record();
      response.clear_credential();
      response.set_cursor(cursor);
      if (cursor != before) {
        silent = absl::ZeroDuration();
        caught_up = false;
        continue;
      }
      // Everything up to `cursor` was sent: say so once, then when silent.
      if (!caught_up || silent >= options_.heartbeat) {
        if (!writer.Write(response)) return absl::OkStatus();
        caught_up = true;
        silent = absl::ZeroDuration();
      }
      if (!request.follow()) return absl::OkStatus();
      // Short waits, so that a hang-up and the server's end are noticed.
      constexpr absl::Duration kWait = absl::Milliseconds(200);
      if (!store_.WaitBeyond(cursor, kWait)) silent += kWait;
    }
    return absl::OkStatus();
  }

  const RecordsServerOptions options_;
  const RecordStore& store_;
  const RecordsServerHooks hooks_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> streams_{0};
};

}  // namespace

struct RecordsServer::Impl {
  std::unique_ptr<Service> service;
  std::unique_ptr<grpc::Server> server;
  std::string address;
};

RecordsServer::RecordsServer(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

RecordsServer::~RecordsServer() {
  impl_->service->Stop();
  impl_->server->Shutdown(std::chrono::system_clock::now() +
                          std::chrono::seconds(2));
  impl_->server->Wait();
}

absl::StatusOr<std::unique_ptr<RecordsServer>> RecordsServer::Open(
    const RecordsServerOptions& options, const crypto::TlsKeyPair& tls,
    const RecordStore& store, RecordsServerHooks hooks) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto impl = std::make_unique<Impl>();
  impl->service = std::make_unique<Service>(options, store, std::move(hooks));

  grpc::SslServerCredentialsOptions ssl(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  ssl.pem_key_cert_pairs.push_back(
      {std::string(tls.key_pem.view()), tls.cert_pem});
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.bind, grpc::SslServerCredentials(ssl),
                           &port);
  builder.RegisterService(impl->service.get());
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             options.max_streams);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  grpc::ResourceQuota quota("records");
  quota.SetMaxThreads(options.max_streams + 16);
  quota.Resize(64u << 20);
  builder.SetResourceQuota(quota);
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || port == 0) {
    return Unavailable("listen",
                       fmt::format("can't serve gRPC at {}", options.bind));
  }
  impl->address = fmt::format(
      "{}:{}", options.bind.substr(0, options.bind.rfind(':')), port);
  return std::unique_ptr<RecordsServer>(new RecordsServer(std::move(impl)));
}

std::string RecordsServer::address() const { return impl_->address; }

}  // namespace shoal::dht::node
