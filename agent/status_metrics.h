// `shoal-agent status --output prometheus`: the device's state in Prometheus'
// text format, for node_exporter's textfile collector. No port is opened on a
// device, and it works with the agent running or not.
#ifndef SHOAL_AGENT_STATUS_METRICS_H_
#define SHOAL_AGENT_STATUS_METRICS_H_

#include <string>

#include "absl/status/statusor.h"
#include "agent/state/agent_config.h"
#include "common/files.h"

namespace shoal::metrics {
class Samples;
}

namespace shoal::agent {

// docs/operations/monitoring.md lists the metrics. Errors of StatusJson().
absl::StatusOr<std::string> StatusMetrics(FileSystem& fs,
                                          const AgentConfig& config);

// The same as samples, for whoever adds more (agent/link/agent_metrics.h).
absl::Status CollectStatus(FileSystem& fs, const AgentConfig& config,
                           metrics::Samples& out);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_STATUS_METRICS_H_
