// Times and results of API calls, by method and status code, for the metric
// shoald_api_call_seconds. Streams are counted by their end, their length says
// nothing. Includes gRPC: for server/api only.
#ifndef SHOAL_SERVER_API_CALL_METRICS_H_
#define SHOAL_SERVER_API_CALL_METRICS_H_

#include <grpcpp/support/server_interceptor.h>

#include "common/metrics/metrics.h"

namespace shoal::server {

class CallMetrics final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallMetrics(metrics::Metrics& metrics);  // outlives this
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* call) override;

 private:
  metrics::Histogram& unary_;
  metrics::Histogram& streams_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_CALL_METRICS_H_
