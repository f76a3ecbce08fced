// Who comes in, and the network key.
#include <string>

#include "server/api/edge.h"
#include "shoal/fleet/v1/enrolment_service.grpc.pb.h"

namespace shoal::server {
namespace {

using grpc::ServerContext;

class EnrolmentsService final : public fleet::v1::Enrolments::Service {
 public:
  explicit EnrolmentsService(const Edge& edge) : edge_(edge) {}

  grpc::Status AcceptDevice(ServerContext* context,
                            const fleet::v1::AcceptDeviceRequest* request,
                            fleet::v1::Device* response) override {
    return edge_.Call(context, *request, "device.accept",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().enrolment->Accept(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status RejectDevice(ServerContext* context,
                            const fleet::v1::RejectDeviceRequest* request,
                            fleet::v1::Device* response) override {
    return edge_.Call(context, *request, "device.accept",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().enrolment->Reject(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status PreauthorizeDevice(
      ServerContext* context,
      const fleet::v1::PreauthorizeDeviceRequest* request,
      fleet::v1::Device* response) override {
    return edge_.Call(context, *request, "device.accept",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().enrolment->Preauthorize(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status CreateBootstrapFile(
      ServerContext* context,
      const fleet::v1::CreateBootstrapFileRequest* request,
      fleet::v1::CreateBootstrapFileResponse* response) override {
    return edge_.Call(context, *request, "device.accept",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response,
                            edge_.parts().enrolment->CreateBootstrapFile(
                                *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status PairDevice(ServerContext* context,
                          const fleet::v1::PairDeviceRequest* request,
                          fleet::v1::PairDeviceResponse* response) override {
    return edge_.Call(context, *request, "device.accept",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().enrolment->PairByFile(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status RotateNetworkKey(
      ServerContext* context, const fleet::v1::RotateNetworkKeyRequest* request,
      fleet::v1::RotateNetworkKeyResponse* response) override {
    return edge_.Call(
        context, *request, "network.rotate",
        [&](const Caller& caller) -> absl::Status {
          if (request->reason().size() > 256) {
            return InvalidArgument("bad_request",
                                   "a reason has at most 256 bytes");
          }
          SHOAL_ASSIGN_OR_RETURN(const auto rotated,
                                 edge_.parts().network_keys->Rotate(
                                     *request, caller.audit_name()));
          response->set_epoch(rotated.epoch);
          response->set_overlap_until(
              absl::ToUnixSeconds(rotated.overlap_until));
          SHOAL_ASSIGN_OR_RETURN(const auto devices,
                                 edge_.parts().devices->CountIn(
                                     fleet::v1::ENROLMENT_STATE_ACCEPTED));
          response->set_devices(devices);
          return absl::OkStatus();
        });
  }

 private:
  const Edge& edge_;
};

}  // namespace

void AddEnrolmentServices(const Edge& edge, Services& services) {
  services.push_back(std::make_unique<EnrolmentsService>(edge));
}

}  // namespace shoal::server
