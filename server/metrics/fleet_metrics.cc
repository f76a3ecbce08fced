#include "server/metrics/fleet_metrics.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/log.h"
#include "server/fleet/device_index.h"
#include "server/rollout/outcome_counts.h"
#include "server/rollout/rollout_state.h"
#include "server/store/state.pb.h"
#include "server/store/tables.h"

namespace shoal::server {
namespace {

constexpr absl::Duration kDevicesPause = absl::Seconds(30);

// "ENROLMENT_STATE_ACCEPTED" → "accepted"
std::string Short(const std::string& name, std::string_view prefix) {
  const size_t skip = name.starts_with(prefix) ? prefix.size() : 0;
  return absl::AsciiStrToLower(name.substr(skip));
}

double UnixSeconds(absl::Time time) {
  return absl::ToDoubleSeconds(time - absl::UnixEpoch());
}

void Log(const absl::Status& status) {
  if (!status.ok()) LogError("metrics_failed", {{"error", status}});
}

}  // namespace

FleetMetrics::FleetMetrics(const Store& store, const TrustRepository& trust)
    : store_(store), trust_(trust) {}

void FleetMetrics::Collect(metrics::Samples& out) {
  std::lock_guard lock(mutex_);
  const absl::Duration now = store_.clock().MonotonicNow();
  if (now - counted_at_ >= kDevicesPause) {
    counted_at_ = now;
    CountDevices();
  }
  CollectDevices(out);
  CollectRollouts(out);
  CollectOutbox(out);
  if (const auto view = trust_.View()) {
    out.Gauge("shoald_timestamp_expiry_seconds",
              "Until when devices believe the metadata in force without a new "
              "timestamp, in seconds since 1970.",
              UnixSeconds(view->timestamp_expires));
    for (const auto& [role, version] : view->versions) {
      if (role.find('-') != std::string::npos) continue;  // one per device type
      out.Gauge("shoald_metadata_version", "Version in force of a role.",
                static_cast<double>(version), {{"role", role}});
    }
  }
}

void FleetMetrics::CountDevices() {
  devices_.clear();
  Log(CountByIndex());
}

// A few sets of the index instead of every row.
absl::Status FleetMetrics::CountByIndex() {
  const DeviceIndex index(store_);
  SHOAL_ASSIGN_OR_RETURN(
      const FilterNode lately,
      ParseFilter("last_seen >= -24h", store_.clock().WallNow()));
  SHOAL_ASSIGN_OR_RETURN(const DeviceSet seen, index.Select(lately));
  SHOAL_ASSIGN_OR_RETURN(const auto types, index.Values(TypeTerm("").prefix));
  for (int state = fleet::v1::EnrolmentState_MIN;
       state <= fleet::v1::EnrolmentState_MAX; ++state) {
    const auto value = static_cast<fleet::v1::EnrolmentState>(state);
    if (!fleet::v1::EnrolmentState_IsValid(state)) continue;
    SHOAL_ASSIGN_OR_RETURN(const DeviceSet in_state,
                           index.Find(StateTerm(value)));
    for (const auto& [type, of_type] : types) {
      DeviceSet devices = of_type;
      devices &= in_state;
      if (devices.empty()) continue;
      DeviceCount count;
      count.devices = devices.Count();
      devices &= seen;
      count.seen_lately = devices.Count();
      count.state =
          Short(fleet::v1::EnrolmentState_Name(value), "ENROLMENT_STATE_");
      count.device_type = type;
      devices_.push_back(std::move(count));
    }
  }
  return absl::OkStatus();
}

void FleetMetrics::CollectDevices(metrics::Samples& out) const {
  for (const DeviceCount& count : devices_) {
    out.Gauge("shoald_devices", "Devices by enrolment state and type.",
              static_cast<double>(count.devices),
              {{"state", count.state}, {"device_type", count.device_type}});
    out.Gauge("shoald_devices_seen_24h",
              "Devices whose report arrived within the last 24 hours.",
              static_cast<double>(count.seen_lately),
              {{"state", count.state}, {"device_type", count.device_type}});
  }
}

void FleetMetrics::CollectRollouts(metrics::Samples& out) const {
  std::map<std::string, uint64_t> states;
  Log(store_.Scan<store::RolloutRow>(
      kRollouts, "", "",
      [&](std::string_view id, const store::RolloutRow& row) {
        const auto state = row.rollout().state();
        ++states[Short(rollout::v1::RolloutState_Name(state),
                       "ROLLOUT_STATE_")];
        if (HasEnded(state)) return true;
        out.Gauge("shoald_rollout_open_phase",
                  "Index of the phase that was opened last.",
                  row.rollout().document().open_phase(),
                  {{"rollout", std::string(id)}});
        std::map<std::string, uint64_t> outcomes{
            {"failed", 0}, {"refused", 0}, {"succeeded", 0}};
        const auto counts = ReadOutcomeCounts(store_, row.rollout().document());
        Log(counts.status());
        if (!counts.ok()) return true;
        for (const auto& phase : counts->phases()) {
          outcomes["failed"] += phase.failed();
          outcomes["refused"] += phase.refused();
          outcomes["succeeded"] += phase.succeeded();
        }
        for (const auto& [result, count] : outcomes) {
          out.Gauge("shoald_rollout_outcomes",
                    "Devices of a rollout that has not ended, by the newest "
                    "outcome of each.",
                    static_cast<double>(count),
                    {{"rollout", std::string(id)}, {"result", result}});
        }
        return true;
      }));
  for (const auto& [state, count] : states) {
    out.Gauge("shoald_rollouts", "Rollouts by state.",
              static_cast<double>(count), {{"state", state}});
  }
}

void FleetMetrics::CollectOutbox(metrics::Samples& out) const {
  uint64_t waiting = 0;
  uint64_t under_replicated = 0;
  Log(store_.Scan<store::OutboxRow>(
      kOutbox, "", "", [&](std::string_view, const store::OutboxRow& row) {
        ++(row.under_replicated() ? under_replicated : waiting);
        return true;
      }));
  out.Gauge("shoald_outbox_records",
            "Records that no storage node has confirmed yet.",
            static_cast<double>(waiting));
  out.Gauge("shoald_outbox_under_replicated_records",
            "Records that fewer storage nodes than wanted have confirmed.",
            static_cast<double>(under_replicated));
}

}  // namespace shoal::server
