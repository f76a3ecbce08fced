// Errors of the whole product: absl::Status whose code equals gRPC's, plus a
// stable machine-readable reason that tests and tools match on. The message
// says what is wrong, where, and what to do; it may change, the reason not.
//
//   return MakeError(absl::StatusCode::kFailedPrecondition, "wrong_base",
//                    fmt::format("slot {} holds {}, the delta needs {}", …));
//
// Reasons are lower_snake_case words; docs/reasons.md lists those that a
// device reports. All functions are thread-safe.
#ifndef SHOAL_COMMON_STATUS_H_
#define SHOAL_COMMON_STATUS_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal {

// An error with `reason` as its payload. `code` must not be kOk.
absl::Status MakeError(absl::StatusCode code, std::string_view reason,
                       std::string_view message);

// The reason of `status`; "ok" when it is OK, "unspecified" without one.
std::string ReasonOf(const absl::Status& status);

// The same code and reason with "context: " before the message.
absl::Status Annotate(const absl::Status& status, std::string_view context);

// kUnavailable, kNotFound, kPermissionDenied, kResourceExhausted … from an
// errno value; `what` names the call and its object. Reason: "io_<name>",
// "disk_full" for ENOSPC and EDQUOT.
absl::Status ErrnoError(int error, std::string_view what);

// Short forms of MakeError.
inline absl::Status InvalidArgument(std::string_view reason,
                                    std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
}
inline absl::Status NotFound(std::string_view reason,
                             std::string_view message) {
  return MakeError(absl::StatusCode::kNotFound, reason, message);
}
inline absl::Status FailedPrecondition(std::string_view reason,
                                       std::string_view message) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason, message);
}
inline absl::Status PermissionDenied(std::string_view reason,
                                     std::string_view message) {
  return MakeError(absl::StatusCode::kPermissionDenied, reason, message);
}
inline absl::Status Unavailable(std::string_view reason,
                                std::string_view message) {
  return MakeError(absl::StatusCode::kUnavailable, reason, message);
}
inline absl::Status DataLoss(std::string_view reason,
                             std::string_view message) {
  return MakeError(absl::StatusCode::kDataLoss, reason, message);
}
inline absl::Status ResourceExhausted(std::string_view reason,
                                      std::string_view message) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason, message);
}
inline absl::Status Internal(std::string_view reason,
                             std::string_view message) {
  return MakeError(absl::StatusCode::kInternal, reason, message);
}

namespace status_internal {
inline const absl::Status& AsStatus(const absl::Status& s) { return s; }
template <typename T>
const absl::Status& AsStatus(const absl::StatusOr<T>& s) {
  return s.status();
}
}  // namespace status_internal
}  // namespace shoal

#define SHOAL_CONCAT_INNER(a, b) a##b
#define SHOAL_CONCAT(a, b) SHOAL_CONCAT_INNER(a, b)

// Returns from the function when `expr` (Status or StatusOr) is an error.
#define SHOAL_RETURN_IF_ERROR(expr)                            \
  do {                                                         \
    auto&& shoal_status = (expr);                              \
    if (!shoal_status.ok())                                    \
      return ::shoal::status_internal::AsStatus(shoal_status); \
  } while (false)

// SHOAL_ASSIGN_OR_RETURN(auto x, F()); lhs with commas needs parentheses.
#define SHOAL_ASSIGN_OR_RETURN(lhs, expr) \
  SHOAL_ASSIGN_OR_RETURN_INNER(SHOAL_CONCAT(shoal_or_, __LINE__), lhs, expr)
#define SHOAL_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                                 \
  if (!tmp.ok()) return tmp.status();                \
  lhs = std::move(tmp).value()

#endif  // SHOAL_COMMON_STATUS_H_
