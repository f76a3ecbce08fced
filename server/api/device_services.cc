// Devices.
#include <string>
#include <utility>

#include "server/api/device_watch.h"
#include "server/api/edge.h"
#include "server/api/watch_stream.h"
#include "server/fleet/device_history.h"
#include "server/fleet/device_import.h"
#include "server/fleet/device_list.h"
#include "server/fleet/enrolment.h"
#include "shoal/fleet/v1/device_service.grpc.pb.h"

namespace shoal::server {
namespace {

using grpc::ServerContext;
using grpc::ServerWriter;

class DevicesService final
    : public fleet::v1::Devices::WithCallbackMethod_WatchDevices<
          fleet::v1::Devices::Service> {
 public:
  explicit DevicesService(const Edge& edge)
      : edge_(edge), pump_(*edge.parts().store) {}

  grpc::Status GetDevice(ServerContext* context,
                         const fleet::v1::GetDeviceRequest* request,
                         fleet::v1::Device* response) override {
    return edge_.Call(
        context, *request, "device.read", [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(*response,
                                 edge_.parts().devices->Get(request->name()));
          return absl::OkStatus();
        });
  }

  grpc::Status ListDevices(ServerContext* context,
                           const fleet::v1::ListDevicesRequest* request,
                           fleet::v1::ListDevicesResponse* response) override {
    return edge_.Call(context, *request, "device.read",
                      [&](const Caller&) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            auto page, edge_.parts().devices->List(*request));
                        for (auto& device : page.devices) {
                          *response->add_devices() = std::move(device);
                        }
                        response->set_next_page_token(page.next_page_token);
                        response->set_total_size(page.total_size);
                        return absl::OkStatus();
                      });
  }

  grpc::ServerWriteReactor<fleet::v1::Device>* WatchDevices(
      grpc::CallbackServerContext* context,
      const fleet::v1::WatchDevicesRequest* request) override {
    using Stream = WatchStream<fleet::v1::Device>;
    return Stream::Open(
        edge_, pump_, context, *request, "device.read",
        [&](const Caller&) -> absl::StatusOr<Stream::Source> {
          SHOAL_ASSIGN_OR_RETURN(
              DeviceWatch started,
              DeviceWatch::Start(*edge_.parts().store, *request));
          const auto watch = std::make_shared<DeviceWatch>(std::move(started));
          return [watch]() -> absl::StatusOr<Stream::Next> {
            SHOAL_ASSIGN_OR_RETURN(auto step, watch->Next());
            return Stream::Next{.message = std::move(step.device),
                                .more = step.more};
          };
        });
  }

  grpc::Status UpdateDevice(ServerContext* context,
                            const fleet::v1::UpdateDeviceRequest* request,
                            fleet::v1::Device* response) override {
    return edge_.Call(context, *request, "device.label",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().devices->Update(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status BatchUpdateDeviceLabels(
      ServerContext* context,
      const fleet::v1::BatchUpdateDeviceLabelsRequest* request,
      fleet::v1::BatchUpdateDeviceLabelsResponse* response) override {
    return edge_.Call(context, *request, "device.label",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().devices->BatchUpdateLabels(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status ListDeviceEvents(
      ServerContext* context, const fleet::v1::ListDeviceEventsRequest* request,
      fleet::v1::ListDeviceEventsResponse* response) override {
    return edge_.Call(
        context, *request, "device.read", [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(
              *response, ListDeviceHistory(*edge_.parts().store, *request));
          return absl::OkStatus();
        });
  }

  grpc::Status ExportDevices(ServerContext* context,
                             const fleet::v1::ExportDevicesRequest* request,
                             ServerWriter<fleet::v1::Device>* writer) override {
    // Open as long as its caller reads, like a watch.
    return edge_.Watch(
        context, *request, "device.read", [&](const Caller&) -> absl::Status {
          const Store& store = *edge_.parts().store;
          SHOAL_ASSIGN_OR_RETURN(
              const FilterNode filter,
              ParseFilter(request->filter(), store.clock().WallNow()));
          bool gone = false;
          SHOAL_RETURN_IF_ERROR(
              ForEachDevice(store, filter, [&](const store::DeviceRow& row) {
                gone = !writer->Write(DeviceView(row));
                return !gone && !store.shut_down();
              }));
          if (!gone && !store.shut_down()) return absl::OkStatus();
          return MakeError(absl::StatusCode::kCancelled, "cancelled",
                           "the export was cut off");
        });
  }

  grpc::Status ImportDevices(
      ServerContext* context,
      grpc::ServerReader<fleet::v1::ImportDevicesRequest>* reader,
      fleet::v1::ImportDevicesResponse* response) override {
    return edge_.Watch(
        context, "device.label", [&](const Caller& caller) -> absl::Status {
          // To let keys in without a ticket is another right
          // than labels.
          const absl::Status may_accept =
              edge_.parts().access->Check(caller, "device.accept");
          const Enrolment& enrolment = *edge_.parts().enrolment;
          DeviceImporter importer(
              *edge_.parts().store, caller.audit_name(),
              [&](Transaction& tx, const fleet::v1::DeviceImport& device,
                  const std::string& principal) -> absl::Status {
                SHOAL_RETURN_IF_ERROR(may_accept);
                return enrolment.PreauthorizeKey(tx, device, principal);
              });
          fleet::v1::ImportDevicesRequest request;
          while (reader->Read(&request)) {
            SHOAL_RETURN_IF_ERROR(CheckRequestLimits(request));
            SHOAL_RETURN_IF_ERROR(importer.Add(request));
          }
          SHOAL_ASSIGN_OR_RETURN(*response, importer.Finish());
          return absl::OkStatus();
        });
  }

  grpc::Status CreateClaimTicket(
      ServerContext* context,
      const fleet::v1::CreateClaimTicketRequest* request,
      fleet::v1::CreateClaimTicketResponse* response) override {
    return edge_.Call(context, *request, "device.accept",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().pairing->CreateTicket(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status UpdateDeviceLabels(
      ServerContext* context,
      const fleet::v1::UpdateDeviceLabelsRequest* request,
      fleet::v1::Device* response) override {
    return edge_.Call(
        context, *request, "device.label",
        [&](const Caller& caller) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(
              *response,
              edge_.parts().devices->UpdateLabels(
                  request->name(),
                  {request->labels().begin(), request->labels().end()},
                  request->etag(), caller.audit_name()));
          return absl::OkStatus();
        });
  }

  grpc::Status DecommissionDevice(
      ServerContext* context,
      const fleet::v1::DecommissionDeviceRequest* request,
      fleet::v1::Device* response) override {
    return edge_.Call(context, *request, "device.decommission",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().devices->Decommission(
                                           request->name(), request->reason(),
                                           caller.audit_name(), request->etag(),
                                           request->validate_only()));
                        return absl::OkStatus();
                      });
  }

 private:
  const Edge& edge_;
  WatchPump pump_;
};

}  // namespace

void AddDeviceServices(const Edge& edge, Services& services) {
  services.push_back(std::make_unique<DevicesService>(edge));
}

}  // namespace shoal::server
