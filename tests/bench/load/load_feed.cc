#include "tests/bench/load/load_feed.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>

#include "common/crypto/x509.h"
#include "common/files.h"
#include "common/status.h"
#include "shoal/node/v1/node_service.grpc.pb.h"

namespace shoal::bench {
namespace {

using Steady = std::chrono::steady_clock;
constexpr char kStoreId[] = "feed of the bench";

class Service final : public node::v1::Records::Service {
 public:
  explicit Service(std::string plane_spki)
      : plane_spki_(std::move(plane_spki)) {}

  void Offer(const std::vector<SharedRecord>& records, uint32_t rate) {
    std::lock_guard lock(mutex_);
    before_ = records_.size();
    records_.insert(records_.end(), records.begin(), records.end());
    rate_ = rate;
    begun_ = Steady::now();
    offered_.notify_all();
  }
  void Stop() {
    stopping_ = true;
    offered_.notify_all();
  }
  size_t handed() const { return handed_; }

  grpc::Status Pull(
      grpc::ServerContext* context, const node::v1::PullRequest* request,
      grpc::ServerWriter<node::v1::PullResponse>* writer) override {
    if (!IsPlane(*context)) return Stranger();
    node::v1::PullResponse response;
    response.set_store_id(kStoreId);
    size_t cursor = request->store_id() == kStoreId ? request->cursor() : 0;
    bool caught_up = false;
    while (!context->IsCancelled() && !stopping_) {
      const std::vector<SharedRecord> due = Due(cursor, caught_up);
      for (const SharedRecord& record : due) {
        response.set_record(*record);
        response.set_cursor(++cursor);
        if (!writer->Write(response)) return grpc::Status::OK;
        handed_ = std::max<size_t>(handed_, cursor);
      }
      if (!due.empty() || caught_up) continue;
      // All up to here was sent: said once.
      response.clear_record();
      response.set_cursor(cursor);
      if (!writer->Write(response) || !request->follow())
        return grpc::Status::OK;
      caught_up = true;
    }
    return grpc::Status::OK;
  }

  grpc::Status GetStatus(grpc::ServerContext* context,
                         const node::v1::GetStatusRequest*,
                         node::v1::GetStatusResponse* response) override {
    if (!IsPlane(*context)) return Stranger();
    response->set_store_id(kStoreId);
    return grpc::Status::OK;
  }

 private:
  static grpc::Status Stranger() {
    return {grpc::StatusCode::PERMISSION_DENIED, "this feed is the plane's"};
  }
  bool IsPlane(const grpc::ServerContext& context) const {
    const auto pem =
        context.auth_context()->FindPropertyValues("x509_pem_cert");
    if (pem.empty()) return false;
    const auto spki =
        crypto::SpkiSha256(std::string_view(pem[0].data(), pem[0].size()));
    return spki.ok() && *spki == plane_spki_;
  }
  // What is due by now beyond `cursor`, at most so many at once.
  std::vector<SharedRecord> Due(size_t cursor, bool wait) {
    constexpr size_t kAtOnce = 256;
    std::unique_lock lock(mutex_);
    if (wait) offered_.wait_for(lock, std::chrono::milliseconds(5));
    const double elapsed =
        std::chrono::duration<double>(Steady::now() - begun_).count();
    const size_t due =
        rate_ == 0 ? records_.size()
                   : std::min(records_.size(),
                              before_ + static_cast<size_t>(elapsed * rate_));
    if (cursor >= due) return {};
    const auto from = records_.begin() + static_cast<ptrdiff_t>(cursor);
    return {from,
            from + static_cast<ptrdiff_t>(std::min(due - cursor, kAtOnce))};
  }

  const std::string plane_spki_;
  std::mutex mutex_;
  std::condition_variable offered_;
  std::vector<SharedRecord> records_;
  size_t before_ = 0;  // the newest offer
  uint32_t rate_ = 0;
  Steady::time_point begun_;
  std::atomic<size_t> handed_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace

struct LoadFeed::Impl {
  std::unique_ptr<Service> service;
  std::unique_ptr<grpc::Server> server;
};

LoadFeed::LoadFeed(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

LoadFeed::~LoadFeed() {
  impl_->service->Stop();
  impl_->server->Shutdown(std::chrono::system_clock::now());
  impl_->server->Wait();
}

absl::StatusOr<std::unique_ptr<LoadFeed>> LoadFeed::Start(
    const std::string& directory, const std::string& plane_cert_pem) {
  FileSystem& fs = RealFileSystem();
  SHOAL_ASSIGN_OR_RETURN(const std::string plane,
                         crypto::SpkiSha256(plane_cert_pem));
  SHOAL_ASSIGN_OR_RETURN(const std::string key,
                         fs.Read(JoinPath(directory, "keys/tls.key"), 65536));
  SHOAL_ASSIGN_OR_RETURN(const std::string cert,
                         fs.Read(JoinPath(directory, "tls.crt"), 65536));
  SHOAL_ASSIGN_OR_RETURN(
      const std::string request,
      fs.Read(JoinPath(directory, "enroll-request.json"), 65536));
  const auto json = nlohmann::json::parse(request);
  const std::string address = json.contains("grpc_address")
                                  ? json["grpc_address"]
                                  : json["grpcAddress"];
  grpc::SslServerCredentialsOptions tls(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  tls.pem_key_cert_pairs.push_back({key, cert});
  auto impl = std::make_unique<Impl>();
  impl->service = std::make_unique<Service>(plane);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, grpc::SslServerCredentials(tls), &port);
  builder.RegisterService(impl->service.get());
  impl->server = builder.BuildAndStart();
  if (!impl->server || port == 0)
    return Unavailable("listen", "can't serve the feed at " + address);
  return std::unique_ptr<LoadFeed>(new LoadFeed(std::move(impl)));
}

void LoadFeed::Offer(const std::vector<SharedRecord>& records, uint32_t rate) {
  impl_->service->Offer(records, rate);
}

size_t LoadFeed::handed() const { return impl_->service->handed(); }

}  // namespace shoal::bench
