// GET /metrics of a running agent ([metrics] of agent.toml), for Prometheus:
// what `shoal-agent status --output prometheus` says, and what only the running
// agent knows. Off unless the owner names an address.
#ifndef SHOAL_AGENT_LINK_AGENT_METRICS_H_
#define SHOAL_AGENT_LINK_AGENT_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/state/agent_config.h"
#include "common/files.h"

namespace shoal::agent {

// Of one turn of the agent's control loop.
struct LiveNumbers {
  // When the metadata was last found to be the newest, by the device's clock;
  // the infinite past: not in this run.
  absl::Time refreshed = absl::InfinitePast();
  uint64_t refresh_failures = 0;  // in this run
  uint64_t spool_records = 0;     // written, and confirmed by too few nodes
  absl::Time clock;               // the device's
  absl::Time clock_floor;         // no earlier time is believed
  std::string clock_source;
  std::string waiting;    // reason; empty: it waits for nothing
  std::string log_alarm;  // of the release log; empty: none
};

// Thread-safe.
class AgentMetrics {
 public:
  // Listens at config.metrics_listen. `fs` and `config` outlive it. "listen".
  static absl::StatusOr<std::unique_ptr<AgentMetrics>> Open(
      FileSystem& fs, const AgentConfig& config);
  ~AgentMetrics();

  void Set(LiveNumbers numbers);

 private:
  struct Impl;
  explicit AgentMetrics(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_AGENT_METRICS_H_
