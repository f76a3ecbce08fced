#include "server/cli/plane_client.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "common/crypto/x509.h"
#include "common/status.h"
#include "server/cli/grpc_status.h"
#include "shoal/fleet/v1/device_service.grpc.pb.h"
#include "shoal/fleet/v1/enrolment_service.grpc.pb.h"
#include "shoal/fleet/v1/group_service.grpc.pb.h"
#include "shoal/fleet/v1/node_service.grpc.pb.h"
#include "shoal/policy/v1/policy_service.grpc.pb.h"
#include "shoal/release/v1/release_service.grpc.pb.h"
#include "shoal/rollout/v1/rollout_service.grpc.pb.h"
#include "shoal/telemetry/v1/telemetry_service.grpc.pb.h"
#include "shoal/trust/v1/trust_service.grpc.pb.h"

namespace shoal::cli {
namespace {

// A metadata file has at most 5 MB; GetNetwork carries several.
constexpr int kMaxMessage = 64 << 20;

void SetDeadline(grpc::ClientContext& context, absl::Duration timeout) {
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoMilliseconds(timeout));
}

}  // namespace

absl::Status StopStream() {
  return MakeError(absl::StatusCode::kCancelled, "stopped", "stopped");
}

struct PlaneClient::Impl {
  PlaneOptions options;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<fleet::v1::Devices::Stub> devices;
  std::unique_ptr<fleet::v1::Enrolments::Stub> enrolments;
  std::unique_ptr<fleet::v1::Groups::Stub> groups;
  std::unique_ptr<fleet::v1::Nodes::Stub> nodes;
  std::unique_ptr<trust::v1::Trust::Stub> trust;
  std::unique_ptr<policy::v1::Policies::Stub> policies;
  std::unique_ptr<release::v1::Releases::Stub> releases;
  std::unique_ptr<rollout::v1::Rollouts::Stub> rollouts;
  std::unique_ptr<telemetry::v1::Telemetry::Stub> telemetry;
  std::atomic<bool> reached = false;

  absl::Status Convert(const grpc::Status& status,
                       const grpc::ClientContext& context) {
    absl::Status converted = FromGrpc(status, context, options.address);
    if (converted.code() != absl::StatusCode::kUnavailable &&
        converted.code() != absl::StatusCode::kDeadlineExceeded) {
      reached = true;
    }
    return converted;
  }

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(
      Stub& stub,
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                   Response*),
      const Request& request) {
    grpc::ClientContext context;
    SetDeadline(context, options.timeout);
    Response response;
    SHOAL_RETURN_IF_ERROR(
        Convert((stub.*method)(&context, request, &response), context));
    return response;
  }

  // `start` begins the stream on a context.
  template <typename Response, typename Start>
  absl::Status Stream(const Start& start, absl::Time deadline,
                      const Each<Response>& each) {
    grpc::ClientContext context;
    if (deadline < absl::InfiniteFuture()) {
      context.set_deadline(absl::ToChronoTime(deadline));
    }
    auto reader = start(&context);
    Response response;
    absl::Status stopped;
    while (stopped.ok() && reader->Read(&response)) {
      reached = true;
      stopped = each(response);
    }
    if (!stopped.ok()) context.TryCancel();
    while (reader->Read(&response)) {
      // What was on its way when the stream was cancelled.
    }
    const grpc::Status status = reader->Finish();
    if (!stopped.ok()) {
      return ReasonOf(stopped) == "stopped" ? absl::OkStatus() : stopped;
    }
    return Convert(status, context);
  }
};

PlaneClient::PlaneClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PlaneClient::~PlaneClient() = default;
bool PlaneClient::reached() const { return impl_->reached; }

absl::StatusOr<std::unique_ptr<PlaneClient>> PlaneClient::Open(
    PlaneOptions options) {
  SHOAL_ASSIGN_OR_RETURN(const crypto::CertificateInfo server,
                         crypto::ParseCertificate(options.server_cert_pem));
  auto impl = std::make_unique<Impl>();
  grpc::SslCredentialsOptions tls;
  // The server's own certificate is the only trust anchor: no other one
  // passes, whoever issued it.
  tls.pem_root_certs = options.server_cert_pem;
  tls.pem_private_key = options.client_key_pem;
  tls.pem_cert_chain = options.client_cert_pem;
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride(
      server.names.empty() ? "localhost" : server.names.front());
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  arguments.SetMaxSendMessageSize(kMaxMessage);
  // A watch over a quiet rollout notices a dead plane.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  // Proxy settings of the environment are not for a fleet's own plane.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  impl->channel = grpc::CreateCustomChannel(
      options.address, grpc::SslCredentials(tls), arguments);
  crypto::Wipe(options.client_key_pem);
  crypto::Wipe(tls.pem_private_key);
  impl->devices = fleet::v1::Devices::NewStub(impl->channel);
  impl->enrolments = fleet::v1::Enrolments::NewStub(impl->channel);
  impl->groups = fleet::v1::Groups::NewStub(impl->channel);
  impl->nodes = fleet::v1::Nodes::NewStub(impl->channel);
  impl->trust = trust::v1::Trust::NewStub(impl->channel);
  impl->policies = policy::v1::Policies::NewStub(impl->channel);
  impl->releases = release::v1::Releases::NewStub(impl->channel);
  impl->rollouts = rollout::v1::Rollouts::NewStub(impl->channel);
  impl->telemetry = telemetry::v1::Telemetry::NewStub(impl->channel);
  impl->options = std::move(options);
  return std::unique_ptr<PlaneClient>(new PlaneClient(std::move(impl)));
}

// One line a method: service member, stub class, method, messages' package.
#define SHOAL_UNARY(package, Service, member, Method, Response)         \
  absl::StatusOr<package::Response> PlaneClient::Method(                \
      const package::Method##Request& request) {                        \
    return impl_->Call(*impl_->member, &package::Service::Stub::Method, \
                       request);                                        \
  }
SHOAL_UNARY(fleet::v1, Devices, devices, GetDevice, Device)
SHOAL_UNARY(fleet::v1, Devices, devices, ListDevices, ListDevicesResponse)
SHOAL_UNARY(fleet::v1, Devices, devices, CreateClaimTicket,
            CreateClaimTicketResponse)
SHOAL_UNARY(fleet::v1, Devices, devices, UpdateDeviceLabels, Device)
SHOAL_UNARY(fleet::v1, Devices, devices, DecommissionDevice, Device)
SHOAL_UNARY(fleet::v1, Enrolments, enrolments, AcceptDevice, Device)
SHOAL_UNARY(fleet::v1, Enrolments, enrolments, PairDevice, PairDeviceResponse)
SHOAL_UNARY(fleet::v1, Enrolments, enrolments, RejectDevice, Device)
SHOAL_UNARY(fleet::v1, Enrolments, enrolments, PreauthorizeDevice, Device)
SHOAL_UNARY(fleet::v1, Enrolments, enrolments, CreateBootstrapFile,
            CreateBootstrapFileResponse)
SHOAL_UNARY(fleet::v1, Enrolments, enrolments, RotateNetworkKey,
            RotateNetworkKeyResponse)
SHOAL_UNARY(fleet::v1, Devices, devices, BatchUpdateDeviceLabels,
            BatchUpdateDeviceLabelsResponse)
SHOAL_UNARY(fleet::v1, Devices, devices, ListDeviceEvents,
            ListDeviceEventsResponse)
SHOAL_UNARY(fleet::v1, Groups, groups, CreateGroup, Group)
SHOAL_UNARY(fleet::v1, Groups, groups, GetGroup, Group)
SHOAL_UNARY(fleet::v1, Groups, groups, ListGroups, ListGroupsResponse)
SHOAL_UNARY(fleet::v1, Groups, groups, UpdateGroup, Group)
SHOAL_UNARY(fleet::v1, Groups, groups, DeleteGroup, Group)
SHOAL_UNARY(fleet::v1, Groups, groups, ListGroupMembers,
            ListGroupMembersResponse)
SHOAL_UNARY(fleet::v1, Groups, groups, AddGroupMembers, Group)
SHOAL_UNARY(fleet::v1, Groups, groups, RemoveGroupMembers, Group)
SHOAL_UNARY(fleet::v1, Nodes, nodes, EnrollNode, EnrollNodeResponse)
SHOAL_UNARY(policy::v1, Policies, policies, TestPolicy, TestPolicyResponse)
SHOAL_UNARY(release::v1, Releases, releases, GetRelease, Release)
SHOAL_UNARY(release::v1, Releases, releases, ListReleases, ListReleasesResponse)
SHOAL_UNARY(release::v1, Releases, releases, ListDeltas, ListDeltasResponse)
SHOAL_UNARY(release::v1, Releases, releases, CollectDeltas,
            CollectDeltasResponse)
SHOAL_UNARY(release::v1, Releases, releases, DeleteRelease,
            DeleteReleaseResponse)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, CreateRollout, Rollout)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, GetRollout, Rollout)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, ListRollouts, ListRolloutsResponse)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, ListOutcomes, ListOutcomesResponse)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, ApprovePhase, Rollout)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, ActivateRollout, Rollout)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, PauseRollout, Rollout)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, ResumeRollout, Rollout)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, AbortRollout, Rollout)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, PlanRollout, RolloutPlan)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, ExplainRollout, Explanation)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, ExplainDevice, Explanation)
SHOAL_UNARY(rollout::v1, Rollouts, rollouts, HaltRollout, Rollout)
#undef SHOAL_UNARY

absl::StatusOr<fleet::v1::ListNodesResponse> PlaneClient::ListNodes() {
  return impl_->Call(*impl_->nodes, &fleet::v1::Nodes::Stub::ListNodes,
                     fleet::v1::ListNodesRequest());
}
absl::StatusOr<fleet::v1::GetNetworkResponse> PlaneClient::GetNetwork(
    uint64_t log_size) {
  fleet::v1::GetNetworkRequest request;
  request.set_log_size(log_size);
  return impl_->Call(*impl_->nodes, &fleet::v1::Nodes::Stub::GetNetwork,
                     request);
}
absl::StatusOr<trust::v1::PublishResponse> PlaneClient::PublishTrust(
    const trust::v1::PublishRequest& request) {
  return impl_->Call(*impl_->trust, &trust::v1::Trust::Stub::Publish, request);
}
absl::StatusOr<trust::v1::GetTrustResponse> PlaneClient::GetTrust() {
  return impl_->Call(*impl_->trust, &trust::v1::Trust::Stub::GetTrust,
                     trust::v1::GetTrustRequest());
}
absl::StatusOr<policy::v1::GetPolicyResponse> PlaneClient::GetPolicy() {
  return impl_->Call(*impl_->policies, &policy::v1::Policies::Stub::GetPolicy,
                     policy::v1::GetPolicyRequest());
}
absl::StatusOr<telemetry::v1::GetTelemetryStatusResponse>
PlaneClient::GetTelemetryStatus() {
  return impl_->Call(*impl_->telemetry,
                     &telemetry::v1::Telemetry::Stub::GetTelemetryStatus,
                     telemetry::v1::GetTelemetryStatusRequest());
}

absl::StatusOr<release::v1::Release> PlaneClient::CreateRelease(
    const release::v1::CreateReleaseHeader& header, const NextChunk& next,
    const std::vector<UploadFile>& beside) {
  // No deadline: an image may be large and the link thin. A plane that went
  // away is noticed by the keep-alive.
  grpc::ClientContext context;
  release::v1::Release response;
  auto writer = impl_->releases->CreateRelease(&context, &response);
  release::v1::CreateReleaseRequest request;
  *request.mutable_header() = header;
  bool open = writer->Write(request);
  absl::Status local;
  const auto send = [&](const NextChunk& chunks) {
    while (open) {
      auto chunk = chunks();
      if (!chunk.ok()) {
        local = chunk.status();
        context.TryCancel();
        open = false;
        return;
      }
      if (chunk->empty()) return;
      request.set_chunk(std::move(*chunk));
      open = writer->Write(request);
    }
  };
  send(next);
  for (const UploadFile& file : beside) {
    if (!open) break;
    request.set_file(file.name);
    open = writer->Write(request);
    send(file.next);
  }
  // After an error the plane's status says why; these say nothing new.
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  SHOAL_RETURN_IF_ERROR(local);
  SHOAL_RETURN_IF_ERROR(impl_->Convert(status, context));
  return response;
}

absl::StatusOr<fleet::v1::ImportDevicesResponse> PlaneClient::ImportDevices(
    const fleet::v1::ImportOptions& options,
    const std::function<const fleet::v1::DeviceImport*()>& next) {
  // No deadline: as an upload.
  grpc::ClientContext context;
  fleet::v1::ImportDevicesResponse response;
  auto writer = impl_->devices->ImportDevices(&context, &response);
  fleet::v1::ImportDevicesRequest request;
  *request.mutable_options() = options;
  bool open = writer->Write(request);
  request.clear_options();
  while (open) {
    const fleet::v1::DeviceImport* device = next();
    if (device == nullptr) break;
    *request.mutable_device() = *device;
    open = writer->Write(request);
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  SHOAL_RETURN_IF_ERROR(impl_->Convert(status, context));
  return response;
}

absl::Status PlaneClient::ExportDevices(
    const fleet::v1::ExportDevicesRequest& request,
    const Each<fleet::v1::Device>& each) {
  return impl_->Stream<fleet::v1::Device>(
      [&](grpc::ClientContext* context) {
        return impl_->devices->ExportDevices(context, request);
      },
      absl::InfiniteFuture(), each);
}

absl::Status PlaneClient::WatchDevices(
    const fleet::v1::WatchDevicesRequest& request,
    const Each<fleet::v1::Device>& each) {
  return impl_->Stream<fleet::v1::Device>(
      [&](grpc::ClientContext* context) {
        return impl_->devices->WatchDevices(context, request);
      },
      absl::InfiniteFuture(), each);
}

absl::Status PlaneClient::WatchRollout(
    const rollout::v1::WatchRolloutRequest& request,
    const Each<rollout::v1::Rollout>& each, absl::Time deadline) {
  return impl_->Stream<rollout::v1::Rollout>(
      [&](grpc::ClientContext* context) {
        return impl_->rollouts->WatchRollout(context, request);
      },
      deadline, each);
}

absl::Status PlaneClient::TailTelemetry(
    const telemetry::v1::TailTelemetryRequest& request,
    const Each<telemetry::v1::TailTelemetryResponse>& each) {
  return impl_->Stream<telemetry::v1::TailTelemetryResponse>(
      [&](grpc::ClientContext* context) {
        return impl_->telemetry->TailTelemetry(context, request);
      },
      absl::InfiniteFuture(), each);
}

absl::Status PlaneClient::DownloadAttachment(
    const release::v1::DownloadAttachmentRequest& request,
    const Each<release::v1::DownloadAttachmentResponse>& each) {
  return impl_->Stream<release::v1::DownloadAttachmentResponse>(
      [&](grpc::ClientContext* context) {
        return impl_->releases->DownloadAttachment(context, request);
      },
      absl::InfiniteFuture(), each);
}

absl::Status PlaneClient::ExportRepository(
    const Each<release::v1::ExportRepositoryResponse>& each) {
  const release::v1::ExportRepositoryRequest request;
  return impl_->Stream<release::v1::ExportRepositoryResponse>(
      [&](grpc::ClientContext* context) {
        return impl_->releases->ExportRepository(context, request);
      },
      absl::InfiniteFuture(), each);
}

}  // namespace shoal::cli
