// GET /metrics over plain HTTP, for a Prometheus server. It says nothing
// secret, but it is for the operator's own network: no TLS, no log-in. Bind it
// to loopback or an internal address.
#ifndef SHOAL_COMMON_METRICS_ENDPOINT_H_
#define SHOAL_COMMON_METRICS_ENDPOINT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/metrics/metrics.h"

namespace shoal::metrics {

class Endpoint {
 public:
  // `listen`: "127.0.0.1:9464", port 0 for the system's choice. `metrics`
  // outlives it. kUnavailable "listen" when the address can't be bound.
  static absl::StatusOr<std::unique_ptr<Endpoint>> Open(
      const std::string& listen, Metrics& metrics);
  ~Endpoint();

  std::string address() const;  // "host:port" with the real port

 private:
  struct Impl;
  explicit Endpoint(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::metrics

#endif  // SHOAL_COMMON_METRICS_ENDPOINT_H_
