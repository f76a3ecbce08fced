#include "common/status.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/cord.h"

namespace shoal {
namespace {
constexpr char kReasonUrl[] = "shoal.dev/reason";

absl::string_view View(std::string_view s) { return {s.data(), s.size()}; }
}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason,
                       std::string_view message) {
  absl::Status status(code, View(message));
  status.SetPayload(kReasonUrl, absl::Cord(View(reason)));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  if (status.ok()) return "ok";
  auto payload = status.GetPayload(kReasonUrl);
  return payload ? std::string(*payload) : "unspecified";
}

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  std::string message(context);
  message.append(": ").append(status.message().data(), status.message().size());
  absl::Status annotated(status.code(), message);
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

absl::Status ErrnoError(int error, std::string_view what) {
  absl::StatusCode code = absl::ErrnoToStatusCode(error);
  std::string reason;
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      code = absl::StatusCode::kResourceExhausted;
      reason = "disk_full";
      break;
    case ENOENT:
      reason = "io_not_found";
      break;
    case EACCES:
    case EPERM:
      reason = "io_permission";
      break;
    case EIO:
      code = absl::StatusCode::kDataLoss;
      reason = "io_error";
      break;
    default:
      reason = "io_errno_" + std::to_string(error);
  }
  std::string message(what);
  char buffer[128];
  message.append(": ").append(strerror_r(error, buffer, sizeof buffer));
  return MakeError(code, reason, message);
}

}  // namespace shoal
