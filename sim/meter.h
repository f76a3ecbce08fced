// What a daemon of the fleet costs: from /proc, from its metrics endpoint, and
// from the kernel's count of its TCP connections.
#ifndef SHOAL_SIM_METER_H_
#define SHOAL_SIM_METER_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace shoal::sim {

struct Usage {
  double cpu_seconds = 0;     // user and system
  uint64_t resident = 0;      // bytes
  uint64_t disk_written = 0;  // bytes that the kernel was made to write
  uint64_t udp_in = 0;        // bytes of payload
  uint64_t udp_out = 0;
  uint64_t tcp_in = 0;  // bytes of connections that are open now
  uint64_t tcp_out = 0;
  uint64_t records = 0;       // on disk; storage nodes only
  uint64_t record_bytes = 0;  // theirs
  uint64_t directory = 0;     // bytes of the data directory
};

// Costs between two readings; levels (resident, records, directory) are the
// later one's.
Usage Since(const Usage& before, const Usage& now);

// What can't be read is left at 0: a figure less, not a run less.
Usage Measure(pid_t pid, const std::string& metrics_address,
              const std::string& directory);
// The same of this process, without metrics.
Usage MeasureSelf();

// The samples of a Prometheus text: "name{label="x"}" → value.
std::map<std::string, double> ParseMetrics(std::string_view text);
// Reads http://ADDRESS/metrics. kUnavailable "no_metrics".
absl::StatusOr<std::map<std::string, double>> ReadMetrics(
    const std::string& address);

// Bytes received and sent over the TCP connections of a process, out of what
// `ss -tinpH` says.
struct TcpBytes {
  uint64_t in = 0;
  uint64_t out = 0;
};
TcpBytes ParseSs(std::string_view text, pid_t pid);

// "127.0.0.1:PORT" with a TCP port that nobody had a moment ago.
absl::StatusOr<std::string> FreeLoopbackPort();

}  // namespace shoal::sim

#endif  // SHOAL_SIM_METER_H_
