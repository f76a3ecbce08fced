#include "agent/status_metrics.h"

#include <nlohmann/json.hpp>

#include "agent/status.h"
#include "common/metrics/metrics.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

using nlohmann::json;

// `out[name]` may be null or missing: a device that never updated.
const json& ObjectAt(const json& status, const char* name) {
  static const json kEmpty = json::object();
  const auto found = status.find(name);
  return found != status.end() && found->is_object() ? *found : kEmpty;
}

void Collect(const json& status, metrics::Samples& out) {
  const json& running = ObjectAt(status, "running");
  out.Gauge("shoal_agent_info", "1; what the device is and runs.", 1,
            {{"device_type", status.value("device_type", "")},
             {"version", running.value("version", "")},
             {"slot", running.value("slot", "")}});
  out.Gauge("shoal_agent_paired", "Whether the device belongs to a fleet.",
            status.value("paired", false));
  out.Gauge("shoal_agent_trial", "Whether the running image is on trial.",
            running.value("trial", false));
  out.Gauge("shoal_agent_image_counter", "Counter of the running image.",
            static_cast<double>(running.value("counter", uint64_t{0})));
  out.Gauge("shoal_agent_floor", "Images with a lower counter are refused.",
            static_cast<double>(status.value("floor", uint64_t{0})));
  out.Counter("shoal_agent_boots_total", "Boots in the device's life.",
              static_cast<double>(running.value("boot_count", uint64_t{0})));
  const json& update = ObjectAt(status, "update");
  out.Gauge("shoal_agent_updating", "Whether an update is in hand.",
            !update.empty());
  const json& last = ObjectAt(status, "last_update");
  if (!last.empty()) {
    out.Gauge("shoal_agent_last_update_success",
              "Whether the last update was committed.",
              last.value("result", "") == "success");
    out.Gauge("shoal_agent_last_update_finished_seconds",
              "End of the last update, in seconds since 1970.",
              static_cast<double>(last.value("finished_ms", int64_t{0})) / 1e3);
  }
  const json& live = ObjectAt(status, "live");
  out.Gauge("shoal_agent_connected_nodes",
            "Storage nodes that answered the running agent, at its last word.",
            static_cast<double>(live.value("connected_nodes", uint64_t{0})));
}

}  // namespace

absl::StatusOr<std::string> StatusMetrics(FileSystem& fs,
                                          const AgentConfig& config) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text, StatusJson(fs, config));
  const json status = json::parse(text, nullptr, false);
  if (!status.is_object()) return Internal("bad_status", "no JSON object");
  metrics::Metrics metrics;
  metrics.Collect([&](metrics::Samples& out) { Collect(status, out); });
  return metrics.Text();
}

}  // namespace shoal::agent
