// The management plane's API as plain calls: requests and answers are the
// messages of proto/, errors are absl::Status with the plane's reason. gRPC
// shows in plane_client.cc only.
#ifndef SHOAL_SERVER_CLI_PLANE_CLIENT_H_
#define SHOAL_SERVER_CLI_PLANE_CLIENT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/secret.h"
#include "shoal/fleet/v1/device_service.pb.h"
#include "shoal/fleet/v1/enrolment_service.pb.h"
#include "shoal/fleet/v1/group_service.pb.h"
#include "shoal/fleet/v1/node_service.pb.h"
#include "shoal/policy/v1/policy_service.pb.h"
#include "shoal/release/v1/release_service.pb.h"
#include "shoal/rollout/v1/rollout_service.pb.h"
#include "shoal/telemetry/v1/telemetry_service.pb.h"
#include "shoal/trust/v1/trust_service.pb.h"

namespace shoal::cli {

struct PlaneOptions {
  std::string address;          // "host:port"
  std::string server_cert_pem;  // the one certificate that is accepted
  std::string client_cert_pem;
  std::string client_key_pem;
  absl::Duration timeout = absl::Seconds(30);  // of one call without a stream
};

// Thread-safe. kUnavailable when nobody listens at the address or its
// certificate is not the pinned one; other codes and reasons are the plane's.
class PlaneClient {
 public:
  // Connects with the first call.
  static absl::StatusOr<std::unique_ptr<PlaneClient>> Open(
      PlaneOptions options);
  ~PlaneClient();

  // Whether any call was answered by the plane.
  bool reached() const;

  absl::StatusOr<fleet::v1::Device> GetDevice(
      const fleet::v1::GetDeviceRequest& request);
  absl::StatusOr<fleet::v1::ListDevicesResponse> ListDevices(
      const fleet::v1::ListDevicesRequest& request);
  absl::StatusOr<fleet::v1::CreateClaimTicketResponse> CreateClaimTicket(
      const fleet::v1::CreateClaimTicketRequest& request);
  absl::StatusOr<fleet::v1::Device> UpdateDeviceLabels(
      const fleet::v1::UpdateDeviceLabelsRequest& request);
  absl::StatusOr<fleet::v1::Device> DecommissionDevice(
      const fleet::v1::DecommissionDeviceRequest& request);

  absl::StatusOr<fleet::v1::PairDeviceResponse> PairDevice(
      const fleet::v1::PairDeviceRequest& request);
  absl::StatusOr<fleet::v1::Device> AcceptDevice(
      const fleet::v1::AcceptDeviceRequest& request);
  absl::StatusOr<fleet::v1::Device> RejectDevice(
      const fleet::v1::RejectDeviceRequest& request);
  absl::StatusOr<fleet::v1::Device> PreauthorizeDevice(
      const fleet::v1::PreauthorizeDeviceRequest& request);
  absl::StatusOr<fleet::v1::CreateBootstrapFileResponse> CreateBootstrapFile(
      const fleet::v1::CreateBootstrapFileRequest& request);
  absl::StatusOr<fleet::v1::RotateNetworkKeyResponse> RotateNetworkKey(
      const fleet::v1::RotateNetworkKeyRequest& request);
  absl::StatusOr<fleet::v1::BatchUpdateDeviceLabelsResponse>
  BatchUpdateDeviceLabels(
      const fleet::v1::BatchUpdateDeviceLabelsRequest& request);
  absl::StatusOr<fleet::v1::ListDeviceEventsResponse> ListDeviceEvents(
      const fleet::v1::ListDeviceEventsRequest& request);
  // `next` gives the devices, null at the end; each lives until the next call.
  absl::StatusOr<fleet::v1::ImportDevicesResponse> ImportDevices(
      const fleet::v1::ImportOptions& options,
      const std::function<const fleet::v1::DeviceImport*()>& next);

  absl::StatusOr<fleet::v1::Group> CreateGroup(
      const fleet::v1::CreateGroupRequest& request);
  absl::StatusOr<fleet::v1::Group> GetGroup(
      const fleet::v1::GetGroupRequest& request);
  absl::StatusOr<fleet::v1::ListGroupsResponse> ListGroups(
      const fleet::v1::ListGroupsRequest& request);
  absl::StatusOr<fleet::v1::Group> UpdateGroup(
      const fleet::v1::UpdateGroupRequest& request);
  absl::StatusOr<fleet::v1::Group> DeleteGroup(
      const fleet::v1::DeleteGroupRequest& request);
  absl::StatusOr<fleet::v1::ListGroupMembersResponse> ListGroupMembers(
      const fleet::v1::ListGroupMembersRequest& request);
  absl::StatusOr<fleet::v1::Group> AddGroupMembers(
      const fleet::v1::AddGroupMembersRequest& request);
  absl::StatusOr<fleet::v1::Group> RemoveGroupMembers(
      const fleet::v1::RemoveGroupMembersRequest& request);

  absl::StatusOr<fleet::v1::EnrollNodeResponse> EnrollNode(
      const fleet::v1::EnrollNodeRequest& request);
  absl::StatusOr<fleet::v1::ListNodesResponse> ListNodes();
  absl::StatusOr<fleet::v1::GetNetworkResponse> GetNetwork(uint64_t log_size);

  absl::StatusOr<trust::v1::PublishResponse> PublishTrust(
      const trust::v1::PublishRequest& request);
  absl::StatusOr<trust::v1::GetTrustResponse> GetTrust();

  absl::StatusOr<policy::v1::GetPolicyResponse> GetPolicy();
  absl::StatusOr<policy::v1::TestPolicyResponse> TestPolicy(
      const policy::v1::TestPolicyRequest& request);

  absl::StatusOr<release::v1::Release> GetRelease(
      const release::v1::GetReleaseRequest& request);
  absl::StatusOr<release::v1::ListReleasesResponse> ListReleases(
      const release::v1::ListReleasesRequest& request);
  // `next` gives the image's bytes, at most 1 MiB at a time, "" at the end; an
  // error of it cancels the upload and is returned.
  using NextChunk = std::function<absl::StatusOr<std::string>()>;
  // What is uploaded beside the image, each with a `next` of its own.
  struct UploadFile {
    std::string name;
    NextChunk next;
  };
  absl::StatusOr<release::v1::Release> CreateRelease(
      const release::v1::CreateReleaseHeader& header, const NextChunk& next,
      const std::vector<UploadFile>& beside = {});
  absl::StatusOr<release::v1::ListDeltasResponse> ListDeltas(
      const release::v1::ListDeltasRequest& request);
  absl::StatusOr<release::v1::CollectDeltasResponse> CollectDeltas(
      const release::v1::CollectDeltasRequest& request);
  absl::StatusOr<release::v1::DeleteReleaseResponse> DeleteRelease(
      const release::v1::DeleteReleaseRequest& request);

  absl::StatusOr<rollout::v1::Rollout> CreateRollout(
      const rollout::v1::CreateRolloutRequest& request);
  absl::StatusOr<rollout::v1::Rollout> GetRollout(
      const rollout::v1::GetRolloutRequest& request);
  absl::StatusOr<rollout::v1::ListRolloutsResponse> ListRollouts(
      const rollout::v1::ListRolloutsRequest& request);
  absl::StatusOr<rollout::v1::ListOutcomesResponse> ListOutcomes(
      const rollout::v1::ListOutcomesRequest& request);
  absl::StatusOr<rollout::v1::Rollout> ApprovePhase(
      const rollout::v1::ApprovePhaseRequest& request);
  absl::StatusOr<rollout::v1::Rollout> ActivateRollout(
      const rollout::v1::ActivateRolloutRequest& request);
  absl::StatusOr<rollout::v1::Rollout> PauseRollout(
      const rollout::v1::PauseRolloutRequest& request);
  absl::StatusOr<rollout::v1::Rollout> ResumeRollout(
      const rollout::v1::ResumeRolloutRequest& request);
  absl::StatusOr<rollout::v1::Rollout> AbortRollout(
      const rollout::v1::AbortRolloutRequest& request);
  absl::StatusOr<rollout::v1::RolloutPlan> PlanRollout(
      const rollout::v1::PlanRolloutRequest& request);
  absl::StatusOr<rollout::v1::Explanation> ExplainRollout(
      const rollout::v1::ExplainRolloutRequest& request);
  absl::StatusOr<rollout::v1::Explanation> ExplainDevice(
      const rollout::v1::ExplainDeviceRequest& request);
  absl::StatusOr<rollout::v1::Rollout> HaltRollout(
      const rollout::v1::HaltRolloutRequest& request);

  absl::StatusOr<telemetry::v1::GetTelemetryStatusResponse>
  GetTelemetryStatus();

  // Streams: `each` is called in order; when it returns an error the stream is
  // cancelled and that error returned, kCancelled "stopped" meaning a wanted
  // end (the call then is OK). `deadline` infinite: until the plane hangs up.
  template <typename Response>
  using Each = std::function<absl::Status(const Response&)>;
  absl::Status WatchDevices(const fleet::v1::WatchDevicesRequest& request,
                            const Each<fleet::v1::Device>& each);
  absl::Status ExportDevices(const fleet::v1::ExportDevicesRequest& request,
                             const Each<fleet::v1::Device>& each);
  absl::Status WatchRollout(const rollout::v1::WatchRolloutRequest& request,
                            const Each<rollout::v1::Rollout>& each,
                            absl::Time deadline = absl::InfiniteFuture());
  absl::Status TailTelemetry(
      const telemetry::v1::TailTelemetryRequest& request,
      const Each<telemetry::v1::TailTelemetryResponse>& each);
  absl::Status DownloadAttachment(
      const release::v1::DownloadAttachmentRequest& request,
      const Each<release::v1::DownloadAttachmentResponse>& each);
  absl::Status ExportRepository(
      const Each<release::v1::ExportRepositoryResponse>& each);

 private:
  struct Impl;
  explicit PlaneClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Ends a stream from within `each`.
absl::Status StopStream();

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_PLANE_CLIENT_H_
