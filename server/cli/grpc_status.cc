#include "server/cli/grpc_status.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <string>

#include "common/status.h"

namespace shoal::cli {

absl::Status FromGrpc(const grpc::Status& status,
                      const grpc::ClientContext& context,
                      std::string_view address) {
  if (status.ok()) return absl::OkStatus();
  std::string reason;
  const auto& trailers = context.GetServerTrailingMetadata();
  if (const auto it = trailers.find("shoal-reason"); it != trailers.end()) {
    reason.assign(it->second.data(), it->second.size());
  }
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  std::string message = status.error_message();
  // Only the transport answers without a reason.
  if (reason.empty() && code == absl::StatusCode::kUnavailable) {
    reason = "unreachable";
    message = fmt::format("{} does not answer: {}", address, message);
  } else if (reason.empty() && code == absl::StatusCode::kDeadlineExceeded) {
    reason = "timeout";
    message = fmt::format("{} did not answer in time", address);
  }
  if (reason.empty()) reason = "unspecified";
  if (message.empty()) message = absl::StatusCodeToString(code);
  return MakeError(code, reason, message);
}

}  // namespace shoal::cli
