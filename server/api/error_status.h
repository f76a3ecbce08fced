// A status as gRPC's own tools expect it: google.rpc.Status with an ErrorInfo
// in "grpc-status-details-bin" (google.aip.dev/193). Includes gRPC: for
// server/api only.
#ifndef SHOAL_SERVER_API_ERROR_STATUS_H_
#define SHOAL_SERVER_API_ERROR_STATUS_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>

namespace shoal::server {

// Domain "shoal". `metadata`: what else a program may want ("position").
grpc::Status ErrorStatus(grpc::StatusCode code, const std::string& message,
                         const std::string& reason,
                         const std::map<std::string, std::string>& metadata);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_ERROR_STATUS_H_
