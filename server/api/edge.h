// What every call passes before its work: the caller's TLS key, the policy,
// What every call passes before its work: the caller's TLS key, the policy,
// and on the way back the status with its machine-readable reason: in the
// trailing metadata "shoal-reason" and as google.rpc.ErrorInfo among the
// status's details. The call's id, the caller's own in the metadata
// "shoal-request-id" or one of ours, goes into every log line that the call
// causes and back in the trailing metadata. Includes gRPC: for server/api only.
#ifndef SHOAL_SERVER_API_EDGE_H_
#define SHOAL_SERVER_API_EDGE_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/service_type.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/log_context.h"
#include "common/status.h"
#include "server/api/api_server.h"
#include "server/api/caller_quota.h"
#include "server/api/request_limits.h"

namespace shoal::server {

// Threads that the API may use, and how many of them may serve calls that stay
// open: exports, imports, telemetry as it comes.
inline constexpr int kMaxApiThreads = 256;
inline constexpr int kLongCallsInAll = 160;
// Watches, which hold no thread (watch_stream.h).
inline constexpr int kWatchesInAll = 2'000;
// Of each.
inline constexpr int kWatchesPerOperator = 32;
// Calls that end by themselves, at once.
inline constexpr int kCallsInAll = kMaxApiThreads - kLongCallsInAll;
inline constexpr int kCallsPerOperator = 32;

// Any operator of the policy may call; nothing more is asked.
inline constexpr std::string_view kAnyOperator = "";

class Edge {
 public:
  explicit Edge(const ApiParts& parts) : parts_(parts) {}

  // Runs `work(caller)` if the caller may do `action` on the plane.
  template <typename Work>
  grpc::Status Call(grpc::ServerContextBase* context, std::string_view action,
                    Work work) const {
    return Serve(calls_, context, action, work);
  }

  // The same for a call with one request: what its fields hold is bounded
  // (server/api/request_limits.h) before `work`.
  template <typename Work>
  grpc::Status Call(grpc::ServerContextBase* context,
                    const google::protobuf::Message& request,
                    std::string_view action, Work work) const {
    return Call(context, action, [&](const Caller& caller) -> absl::Status {
      SHOAL_RETURN_IF_ERROR(CheckRequestLimits(request));
      return work(caller);
    });
  }

  // The same for a call that stays open, and keeps its thread, until its caller
  // has enough.
  template <typename Work>
  grpc::Status Watch(grpc::ServerContextBase* context, std::string_view action,
                     Work work) const {
    return Serve(long_calls_, context, action, work);
  }
  template <typename Work>
  grpc::Status Watch(grpc::ServerContextBase* context,
                     const google::protobuf::Message& request,
                     std::string_view action, Work work) const {
    return Watch(context, action, [&](const Caller& caller) -> absl::Status {
      SHOAL_RETURN_IF_ERROR(CheckRequestLimits(request));
      return work(caller);
    });
  }

  // A place among the watches that hold no thread.
  absl::StatusOr<CallerQuota::Slot> OpenWatch(const Caller& caller) const {
    return watches_.Open(caller.audit_name());
  }

  // For calls that stay open: by which policy a caller was let in, and whether
  // it still may. Asked at each look; costs nothing while the policy stays.
  struct Admission {
    std::string_view action;  // static
    uint64_t policy_version = 0;
    Caller caller;
  };
  uint64_t PolicyVersion() const;
  absl::Status Readmit(const grpc::ServerContextBase& context,
                       Admission& admission) const;

  const ApiParts& parts() const { return parts_; }

  // The status as it is sent, with its reason in the trailing metadata.
  static grpc::Status Answer(grpc::ServerContextBase& context,
                             std::string_view caller, std::string_view action,
                             const absl::Status& status);

 private:
  template <typename Work>
  grpc::Status Serve(CallerQuota& quota, grpc::ServerContextBase* context,
                     std::string_view action, Work work) const {
    const std::string id = RequestId(*context);
    const ScopedLogField scope("request", id);
    absl::StatusOr<Caller> caller = Identify(*context);
    if (!caller.ok()) return Answer(*context, "", action, caller.status());
    // Also what will be refused takes a place: a refusal is work.
    const absl::StatusOr<CallerQuota::Slot> slot =
        quota.Open(caller->audit_name());
    if (!slot.ok())
      return Answer(*context, caller->audit_name(), action, slot.status());
    const absl::Status allowed = Check(*caller, action);
    if (!allowed.ok())
      return Answer(*context, caller->audit_name(), action, allowed);
    return Answer(*context, caller->audit_name(), action, work(*caller));
  }
  absl::StatusOr<Caller> Identify(const grpc::ServerContextBase& context) const;
  absl::Status Check(const Caller& caller, std::string_view action) const;
  static std::string RequestId(grpc::ServerContextBase& context);
  const ApiParts parts_;
  mutable CallerQuota calls_{"calls", kCallsPerOperator, kCallsInAll};
  mutable CallerQuota long_calls_{"watches", kWatchesPerOperator,
                                  kLongCallsInAll};
  mutable CallerQuota watches_{"watches", kWatchesPerOperator, kWatchesInAll};
};

// The services, by file. Each keeps a reference to `edge`.
using Services = std::vector<std::unique_ptr<grpc::Service>>;
void AddDeviceServices(const Edge& edge, Services& services);
void AddGroupServices(const Edge& edge, Services& services);
void AddFleetServices(const Edge& edge, Services& services);
void AddEnrolmentServices(const Edge& edge, Services& services);
void AddReleaseServices(const Edge& edge, Services& services);
void AddRolloutServices(const Edge& edge, Services& services);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_EDGE_H_
