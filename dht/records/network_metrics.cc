#include "dht/records/network_metrics.h"

#include <tuple>

namespace shoal::dht {

void CollectNetwork(const NetworkStats& stats, metrics::Samples& out) {
  out.Gauge("shoal_dht_connected_nodes", "Storage nodes that answer.",
            static_cast<double>(stats.connected_nodes));
  out.Counter("shoal_dht_dropped_datagrams_total",
              "Datagrams that opened under no network key.",
              static_cast<double>(stats.dropped_datagrams));
  out.Counter("shoal_dht_refused_records_total",
              "Records that did not verify or were not wanted.",
              static_cast<double>(stats.refused_records));
  for (const auto& [direction, packets, bytes] :
       {std::tuple("in", stats.packets_in, stats.bytes_in),
        std::tuple("out", stats.packets_out, stats.bytes_out)}) {
    out.Counter("shoal_dht_packets_total", "UDP datagrams.",
                static_cast<double>(packets), {{"direction", direction}});
    out.Counter("shoal_dht_bytes_total", "UDP payload in bytes.",
                static_cast<double>(bytes), {{"direction", direction}});
  }
}

}  // namespace shoal::dht
