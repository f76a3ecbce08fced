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

uint64_t Number(const json& object, const char* name) {
  return object.value(name, uint64_t{0});
}

// Counted over the device's life, the update in hand included.
void CollectTally(const json& tally, const json& update,
                  metrics::Samples& out) {
  for (const auto& [result, count] : ObjectAt(tally, "updates").items())
    out.Counter("shoal_agent_updates_total", "Updates that ended.",
                count.get<double>(), {{"result", result}});
  for (const auto& [what, count] : ObjectAt(tally, "refusals").items())
    out.Counter("shoal_agent_refusals_total",
                "What the device refused: its signature or its content.",
                count.get<double>(), {{"case", what}});
  for (const char* source : {"peers", "origin"}) {
    const std::string name = std::string("bytes_from_") + source;
    out.Counter("shoal_agent_download_bytes_total",
                "Bytes of images and deltas that were downloaded.",
                static_cast<double>(Number(tally, name.c_str()) +
                                    Number(update, name.c_str())),
                {{"source", source}});
  }
  if (update.empty()) return;
  out.Gauge("shoal_agent_update_state", "1; the state of the update in hand.",
            1,
            {{"state", update.value("state", "")},
             {"rollout", update.value("rollout", "")}});
  out.Gauge("shoal_agent_update_phase",
            "Phase of its rollout that the device is in.",
            static_cast<double>(Number(update, "phase")));
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
  CollectTally(ObjectAt(status, "tally"), update, out);
  const json& live = ObjectAt(status, "live");
  out.Gauge("shoal_agent_connected_nodes",
            "Storage nodes that answered the running agent, at its last word.",
            static_cast<double>(live.value("connected_nodes", uint64_t{0})));
}

}  // namespace

absl::Status CollectStatus(FileSystem& fs, const AgentConfig& config,
                           metrics::Samples& out) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text, StatusJson(fs, config));
  const json status = json::parse(text, nullptr, false);
  if (!status.is_object()) return Internal("bad_status", "no JSON object");
  Collect(status, out);
  return absl::OkStatus();
}

absl::StatusOr<std::string> StatusMetrics(FileSystem& fs,
                                          const AgentConfig& config) {
  absl::Status collected;
  metrics::Metrics metrics;
  metrics.Collect([&](metrics::Samples& out) {
    collected = CollectStatus(fs, config, out);
  });
  std::string text = metrics.Text();
  SHOAL_RETURN_IF_ERROR(collected);
  return text;
}

}  // namespace shoal::agent
