// The gRPC edge: mutual TLS, who calls, whether it may, and the way to the
// domain and back. Reflection and health checking are on.
#ifndef SHOAL_SERVER_API_API_SERVER_H_
#define SHOAL_SERVER_API_API_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/metrics/metrics.h"
#include "server/auth/access.h"
#include "server/fleet/devices.h"
#include "server/fleet/groups.h"
#include "server/fleet/network_keys.h"
#include "server/fleet/nodes.h"
#include "server/fleet/pairing.h"
#include "server/fleet/telemetry.h"
#include "server/identity/plane_keys.h"
#include "server/publish/publisher.h"
#include "server/pull/intake.h"
#include "server/release/delta_gc.h"
#include "server/release/release_delete.h"
#include "server/release/releases.h"
#include "server/rollout/explain.h"
#include "server/rollout/rollouts.h"

namespace shoal::server {

// What the services call; all of it outlives the server.
struct ApiParts {
  Store* store = nullptr;
  Access* access = nullptr;
  TrustRepository* trust = nullptr;
  Publisher* publisher = nullptr;
  Blobs* blobs = nullptr;
  Nodes* nodes = nullptr;
  Devices* devices = nullptr;
  Groups* groups = nullptr;
  Pairing* pairing = nullptr;
  Enrolment* enrolment = nullptr;
  NetworkKeys* network_keys = nullptr;
  Releases* releases = nullptr;
  Rollouts* rollouts = nullptr;
  const Deltas* deltas = nullptr;
  DeltaCollector* collector = nullptr;
  ReleaseDeleter* deleter = nullptr;
  const Explainer* explainer = nullptr;
  Telemetry* telemetry = nullptr;
  Intake* intake = nullptr;
  metrics::Metrics* metrics = nullptr;  // of the calls; may be null
};

class ApiServer {
 public:
  // kUnavailable "listen" when the address can't be bound.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(
      const std::string& listen, const PlaneKeys& keys, const ApiParts& parts);
  ~ApiServer();  // running calls get a second to end

  std::string address() const;  // "host:port" with the real port

 private:
  struct Impl;
  explicit ApiServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_API_SERVER_H_
