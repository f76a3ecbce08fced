// What an operator of a management plane alerts on, as far as the store knows
// it: devices, rollouts, records under way, how long metadata is still good.
// docs/operations/monitoring.md lists every metric.
#ifndef SHOAL_SERVER_METRICS_FLEET_METRICS_H_
#define SHOAL_SERVER_METRICS_FLEET_METRICS_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "common/metrics/metrics.h"
#include "server/store/store.h"
#include "server/trust/repository.h"

namespace shoal::server {

// Thread-safe. A look goes over all devices at most every 30 seconds, whatever
// the scraper asks for; in between it answers what it knows.
class FleetMetrics {
 public:
  FleetMetrics(const Store& store, const TrustRepository& trust);

  void Collect(metrics::Samples& out);

 private:
  struct DeviceCount {
    std::string state;
    std::string device_type;
    uint64_t devices = 0;
    uint64_t seen_lately = 0;
  };
  void CountDevices();
  void CollectDevices(metrics::Samples& out) const;
  void CollectRollouts(metrics::Samples& out) const;
  void CollectOutbox(metrics::Samples& out) const;

  const Store& store_;
  const TrustRepository& trust_;
  std::mutex mutex_;
  absl::Duration counted_at_ = -absl::InfiniteDuration();
  std::vector<DeviceCount> devices_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_METRICS_FLEET_METRICS_H_
