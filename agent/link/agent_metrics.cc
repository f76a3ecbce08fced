#include "agent/link/agent_metrics.h"

#include <mutex>
#include <utility>

#include "agent/status_metrics.h"
#include "common/log.h"
#include "common/metrics/endpoint.h"
#include "common/metrics/metrics.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

double Seconds(absl::Time time) {
  return absl::ToDoubleSeconds(time - absl::UnixEpoch());
}

void CollectLive(const LiveNumbers& live, metrics::Samples& out) {
  if (live.refreshed != absl::InfinitePast())
    out.Gauge("shoal_agent_metadata_refreshed_seconds",
              "When the metadata was last found to be the newest, seconds "
              "since 1970.",
              Seconds(live.refreshed));
  out.Counter("shoal_agent_metadata_refresh_failures_total",
              "Looks for newer metadata that failed.",
              static_cast<double>(live.refresh_failures));
  out.Gauge("shoal_agent_spool_records",
            "Records that too few storage nodes have confirmed.",
            static_cast<double>(live.spool_records));
  out.Gauge("shoal_agent_clock_seconds",
            "The device's clock, seconds since 1970.", Seconds(live.clock));
  out.Gauge("shoal_agent_clock_floor_seconds",
            "The earliest time that the device believes, seconds since 1970.",
            Seconds(live.clock_floor));
  out.Gauge("shoal_agent_clock_source", "1; whose clock the device goes by.", 1,
            {{"source", live.clock_source}});
  out.Gauge("shoal_agent_waiting",
            "1 while a rollout is there and the device waits; why.",
            live.waiting.empty() ? 0 : 1, {{"reason", live.waiting}});
  out.Gauge("shoal_agent_log_alarm",
            "1: two devices were shown two release logs.",
            live.log_alarm.empty() ? 0 : 1);
}

}  // namespace

struct AgentMetrics::Impl {
  metrics::Metrics metrics;
  std::unique_ptr<metrics::Endpoint> endpoint;
  std::mutex mutex;
  LiveNumbers live;
};

AgentMetrics::AgentMetrics(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

AgentMetrics::~AgentMetrics() {
  impl_->endpoint.reset();
  impl_->metrics.StopCollecting();
}

absl::StatusOr<std::unique_ptr<AgentMetrics>> AgentMetrics::Open(
    FileSystem& fs, const AgentConfig& config) {
  auto impl = std::make_unique<Impl>();
  impl->metrics.Collect(metrics::CollectProcess);
  impl->metrics.Collect([&fs, &config](metrics::Samples& out) {
    const absl::Status status = CollectStatus(fs, config, out);
    if (!status.ok()) LogWarn("metrics_incomplete", {{"error", status}});
  });
  impl->metrics.Collect([impl = impl.get()](metrics::Samples& out) {
    std::lock_guard lock(impl->mutex);
    CollectLive(impl->live, out);
  });
  SHOAL_ASSIGN_OR_RETURN(
      impl->endpoint,
      metrics::Endpoint::Open(config.metrics_listen, impl->metrics));
  LogInfo("metrics", {{"address", impl->endpoint->address()}});
  return std::unique_ptr<AgentMetrics>(new AgentMetrics(std::move(impl)));
}

void AgentMetrics::Set(LiveNumbers numbers) {
  std::lock_guard lock(impl_->mutex);
  impl_->live = std::move(numbers);
}

}  // namespace shoal::agent
