#include "server/rollout/forecast.h"

#include <algorithm>
#include <map>

#include "common/bytes.h"
#include "fmt/format.h"
#include "rules/parallel.h"
#include "rules/promises.h"
#include "server/rollout/take_over.h"

namespace shoal::server {
namespace {

constexpr int kMaxShown = 1000;
constexpr int64_t kSilentMs = int64_t{24} * 3600 * 1000;

// Hex digest of a running image → bytes of the delta from it.
std::map<std::string, uint64_t> DeltasFrom(
    const release::v1::DeltaIndex& index) {
  std::map<std::string, uint64_t> bytes;
  for (const auto& delta : index.deltas())
    bytes[HexEncode(delta.from_sha256())] = delta.length();
  return bytes;
}

int64_t PhaseSeconds(const rollout::v1::RolloutDocument& document, int phase,
                     uint32_t devices, uint32_t device_seconds) {
  const auto& gate = document.phases(phase).gate();
  const absl::Duration each = absl::Seconds(device_seconds);
  const absl::Duration work =
      devices == 0 ? absl::ZeroDuration()
      : document.has_parallel()
          ? rules::SpreadOf(devices, document.parallel().max(), each)
          : each;
  return absl::ToInt64Seconds(
      std::max(work, absl::Milliseconds(gate.soak_ms())) +
      absl::Milliseconds(gate.settle_ms()));
}

void AddWarnings(const Rollouts::Draft& draft, absl::Time now,
                 rollout::v1::RolloutPlan& plan) {
  const auto& document = plan.document();
  if (plan.total_devices() == 0)
    plan.add_warnings("no device of the fleet is selected now");
  for (const auto& phase : plan.phases()) {
    if (phase.devices() == 0 && plan.total_devices() > 0)
      plan.add_warnings(fmt::format(
          "phase {} has no device: it passes by its gate alone", phase.name()));
  }
  for (int i = 0; i + 1 < document.phases_size(); ++i) {
    const auto& phase = document.phases(i);
    if (phase.gate().min_outcomes() > phase.expected_devices())
      plan.add_warnings(fmt::format(
          "the gate behind phase {} asks for {} outcomes of {} devices: it "
          "never opens",
          phase.name(), phase.gate().min_outcomes(), phase.expected_devices()));
  }
  int64_t seconds = 0;
  for (const auto& phase : plan.phases()) seconds += phase.seconds();
  if (absl::ToUnixSeconds(now) + seconds >= document.expires())
    plan.add_warnings("the rollout expires before its last phase may be done");
  const auto silent = std::count_if(
      draft.devices.begin(), draft.devices.end(), [&](const auto& row) {
        return rules::PhaseOf(document, FactsOf(row)) >= 0 &&
               row.device().last_seen_at() <
                   absl::ToUnixMillis(now) - kSilentMs;
      });
  if (silent > 0)
    plan.add_warnings(
        fmt::format("{} selected devices were not heard of for a day", silent));
}

}  // namespace

absl::StatusOr<rollout::v1::RolloutPlan> Forecast(const Rollouts::Draft& draft,
                                                  const Deltas& deltas,
                                                  const Rollouts& rollouts,
                                                  absl::Time now) {
  rollout::v1::RolloutPlan plan;
  *plan.mutable_document() = draft.document;
  SHOAL_ASSIGN_OR_RETURN(const auto progress,
                         deltas.ProgressOf({draft.release, ""}));
  const auto delta_bytes = DeltasFrom(progress.index);
  for (const auto& phase : draft.document.phases())
    plan.add_phases()->set_name(phase.name());
  std::vector<rollout::v1::PlannedDevice> devices;
  for (const store::DeviceRow& row : draft.devices) {
    const int phase = rules::PhaseOf(draft.document, FactsOf(row));
    if (phase < 0) continue;
    rollout::v1::PlannedDevice device;
    device.set_device(row.device().name());
    device.set_phase(static_cast<uint32_t>(phase));
    device.set_running_version(row.device().running_version());
    const std::string& running = row.device().running_sha256();
    if (running == draft.release.release().sha256()) {
      device.set_up_to_date(true);
      plan.set_up_to_date(plan.up_to_date() + 1);
    } else if (const auto delta = delta_bytes.find(running);
               delta != delta_bytes.end()) {
      device.set_delta(true);
      device.set_bytes(delta->second);
    } else {
      device.set_bytes(draft.release.release().length());
    }
    auto* entry = plan.mutable_phases(phase);
    entry->set_devices(entry->devices() + 1);
    entry->set_with_delta(entry->with_delta() + (device.delta() ? 1 : 0));
    entry->set_bytes(entry->bytes() + device.bytes());
    plan.set_total_bytes(plan.total_bytes() + device.bytes());
    devices.push_back(std::move(device));
  }
  plan.set_total_devices(static_cast<uint32_t>(devices.size()));
  std::sort(devices.begin(), devices.end(), [](const auto& a, const auto& b) {
    return a.phase() != b.phase() ? a.phase() < b.phase()
                                  : a.device() < b.device();
  });
  for (size_t i = 0; i < devices.size() && i < kMaxShown; ++i)
    *plan.add_devices() = std::move(devices[i]);
  for (int i = 0; i < plan.phases_size(); ++i)
    plan.mutable_phases(i)->set_seconds(PhaseSeconds(
        draft.document, i, plan.phases(i).devices(), draft.device_seconds));
  for (const rules::Promise& promise : rules::PromisesOf(draft.document)) {
    auto* shown = plan.add_promises();
    shown->set_name(promise.name);
    shown->set_holds(promise.holds);
    shown->set_explanation(promise.explanation);
  }
  AddWarnings(draft, now, plan);
  SHOAL_ASSIGN_OR_RETURN(const auto taken, TakeOverWarnings(draft, rollouts));
  plan.mutable_warnings()->Add(taken.begin(), taken.end());
  return plan;
}

}  // namespace shoal::server
