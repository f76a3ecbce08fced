#include "common/metrics/endpoint.h"

#include <prometheus/exposer.h>

#include <exception>
#include <utility>

#include "common/status.h"

namespace shoal::metrics {

struct Endpoint::Impl {
  std::unique_ptr<prometheus::Exposer> exposer;
  std::string address;
};

Endpoint::Endpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Endpoint::~Endpoint() = default;

absl::StatusOr<std::unique_ptr<Endpoint>> Endpoint::Open(
    const std::string& listen, Metrics& metrics) {
  auto impl = std::make_unique<Impl>();
  try {
    impl->exposer = std::make_unique<prometheus::Exposer>(listen, 1);
    impl->exposer->RegisterCollectable(metrics.collectable());
  } catch (const std::exception& error) {
    return Unavailable(
        "listen", "cannot serve metrics at " + listen + ": " + error.what());
  }
  const auto ports = impl->exposer->GetListeningPorts();
  if (ports.empty()) {
    return Unavailable("listen", "cannot serve metrics at " + listen);
  }
  impl->address =
      listen.substr(0, listen.rfind(':') + 1) + std::to_string(ports.front());
  return std::unique_ptr<Endpoint>(new Endpoint(std::move(impl)));
}

std::string Endpoint::address() const { return impl_->address; }

}  // namespace shoal::metrics
