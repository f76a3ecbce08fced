#include "server/api/call_metrics.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/clock.h"

namespace shoal::server {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::ServerRpcInfo;

constexpr const char* kCodes[] = {"ok",
                                  "cancelled",
                                  "unknown",
                                  "invalid_argument",
                                  "deadline_exceeded",
                                  "not_found",
                                  "already_exists",
                                  "permission_denied",
                                  "resource_exhausted",
                                  "failed_precondition",
                                  "aborted",
                                  "out_of_range",
                                  "unimplemented",
                                  "internal",
                                  "unavailable",
                                  "data_loss",
                                  "unauthenticated"};

const char* CodeName(int code) {
  constexpr int kCount = sizeof(kCodes) / sizeof(kCodes[0]);
  return code >= 0 && code < kCount ? kCodes[code] : "unknown";
}

class Timer final : public grpc::experimental::Interceptor {
 public:
  Timer(std::string method, metrics::Histogram& seconds)
      : method_(std::move(method)),
        seconds_(seconds),
        start_(SystemClock().MonotonicNow()) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* call) override {
    if (call->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      seconds_.Observe(
          {method_, CodeName(call->GetSendStatus().error_code())},
          absl::ToDoubleSeconds(SystemClock().MonotonicNow() - start_));
    }
    call->Proceed();
  }

 private:
  const std::string method_;
  metrics::Histogram& seconds_;
  const absl::Duration start_;
};

}  // namespace

CallMetrics::CallMetrics(metrics::Metrics& metrics)
    : unary_(metrics.AddHistogram(
          "shoald_api_call_seconds", "Time of a call to the API, in seconds.",
          {"method", "code"}, {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10})),
      streams_(metrics.AddHistogram(
          "shoald_api_stream_seconds",
          "How long a stream of the API was open, in seconds.",
          {"method", "code"}, {1, 60, 3600, 86400})) {}

// gRPC asks this for methods of our services alone, so that labels are few.
grpc::experimental::Interceptor* CallMetrics::CreateServerInterceptor(
    ServerRpcInfo* call) {
  std::string_view method = call->method();
  method = method.substr(method.rfind('.') + 1);  // "Devices/GetDevice"
  const bool stream = call->type() != ServerRpcInfo::Type::UNARY;
  return new Timer(std::string(method), stream ? streams_ : unary_);
}

}  // namespace shoal::server
