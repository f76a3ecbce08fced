#include "server/api/error_status.h"

#include "server/api/error_details.pb.h"

namespace shoal::server {

grpc::Status ErrorStatus(grpc::StatusCode code, const std::string& message,
                         const std::string& reason,
                         const std::map<std::string, std::string>& metadata) {
  rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("shoal");
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  auto& detail = *status.add_details();
  detail.set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  detail.set_value(info.SerializeAsString());
  return grpc::Status(code, message, status.SerializeAsString());
}

}  // namespace shoal::server
