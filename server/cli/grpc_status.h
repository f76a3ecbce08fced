// gRPC's status as the tool's. Included where the tool speaks gRPC.
#ifndef SHOAL_SERVER_CLI_GRPC_STATUS_H_
#define SHOAL_SERVER_CLI_GRPC_STATUS_H_

#include <string_view>

#include "absl/status/status.h"

namespace grpc {
class Status;
class ClientContext;
}  // namespace grpc

namespace shoal::cli {

// The code is a cast; the reason comes from the trailing metadata entry
// "shoal-reason". kUnavailable gets `address` into its message.
absl::Status FromGrpc(const grpc::Status& status,
                      const grpc::ClientContext& context,
                      std::string_view address);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_GRPC_STATUS_H_
