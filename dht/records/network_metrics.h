// NetworkStats for Prometheus, the same names on storage nodes and planes.
#ifndef SHOAL_DHT_RECORDS_NETWORK_METRICS_H_
#define SHOAL_DHT_RECORDS_NETWORK_METRICS_H_

#include "common/metrics/metrics.h"
#include "dht/records/network.h"

namespace shoal::dht {

void CollectNetwork(const NetworkStats& stats, metrics::Samples& out);

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_NETWORK_METRICS_H_
