#include "server/rollout/lost_devices.h"

#include <algorithm>
#include <set>

#include "rules/parallel.h"
#include "rules/report_pace.h"
#include "server/rollout/outcome_counts.h"
#include "server/rollout/rollouts.h"

namespace shoal::server {
namespace {

constexpr absl::Duration kShortestPause = absl::Seconds(1);

// Devices of the phase that could be lost.
uint32_t Missing(const store::RolloutRow& row, int phase,
                 const rules::OutcomeCount& count, absl::Time now) {
  const auto& document = row.rollout().document();
  const bool open = row.document_signed() &&
                    static_cast<uint32_t>(phase) <= document.open_phase() &&
                    phase < row.phase_opened_at_size();
  if (!open || IsFinal(row.rollout().state()) ||
      now - absl::FromUnixMillis(row.phase_opened_at(phase)) < LostAfter(row))
    return 0;
  // Whoever is not let in yet can't have answered.
  if (document.has_parallel() &&
      document.parallel().admitted() < rules::kEveryPosition)
    return 0;
  const uint32_t expected = document.phases(phase).expected_devices();
  return expected -
         std::min(expected, count.total() + count.refused + count.gone);
}

}  // namespace

absl::Duration LostAfter(const store::RolloutRow& row) {
  const uint32_t seconds = row.rollout().document().lost_after_seconds();
  return seconds == 0 ? absl::Hours(24) : absl::Seconds(seconds);
}

bool IsSilent(const store::RolloutRow& row, const store::DeviceRow& device,
              absl::Time now) {
  const absl::Duration patience =
      device.device().waiting_reason().empty()
          ? LostAfter(row)
          : std::max(LostAfter(row), rules::kReportOverdue);
  return now - absl::FromUnixMillis(device.device().last_seen_at()) >= patience;
}

bool WaitsForItsOwner(const store::DeviceRow& device) {
  const std::string& word = device.device().waiting_reason();
  return word == "needs_consent" || word == "postponed" ||
         word == "metered_link";
}

absl::StatusOr<std::vector<uint32_t>> LostDevices::Waiting(
    const store::RolloutRow& row) {
  const auto& document = row.rollout().document();
  const absl::Time now = store_.clock().WallNow();
  std::set<std::string, std::less<>> answered;  // device ids in hex
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::OutcomeRow>(
      kOutcomes, document.id() + "/", "",
      [&](std::string_view key, const store::OutcomeRow& stored) {
        if (VerdictOf(stored.outcome()) != rules::OutcomeVerdict::kWaiting)
          answered.emplace(key.substr(key.find('/') + 1));
        return true;
      }));
  SHOAL_ASSIGN_OR_RETURN(const auto devices,
                         devices_.Accepted(document.device_type()));
  std::vector<uint32_t> waiting(static_cast<size_t>(document.phases_size()));
  for (const store::DeviceRow& device : devices) {
    const std::string& name = device.device().name();
    if (answered.contains(std::string_view(name).substr(name.find('/') + 1)) ||
        IsSilent(row, device, now) || !Concerns(document, device))
      continue;
    const int phase = rules::PhaseOf(document, FactsOf(device));
    ++waiting[static_cast<size_t>(phase)];
  }
  return waiting;
}

absl::StatusOr<std::vector<uint32_t>> LostDevices::InPhases(
    const store::RolloutRow& row,
    const std::vector<rules::OutcomeCount>& counts) {
  std::vector<uint32_t> lost(counts.size());
  bool any = false;
  for (size_t i = 0; i < counts.size(); ++i) {
    lost[i] =
        Missing(row, static_cast<int>(i), counts[i], store_.clock().WallNow());
    any |= lost[i] > 0;
  }
  const std::string& id = row.rollout().document().id();
  std::lock_guard lock(mutex_);
  if (!any) {
    looks_.erase(id);
    return lost;
  }
  const absl::Duration began = store_.clock().MonotonicNow();
  Look& look = looks_[id];
  if (look.waiting.size() != lost.size() || began >= look.next) {
    SHOAL_ASSIGN_OR_RETURN(look.waiting, Waiting(row));
    // Of a large fleet a look takes seconds.
    const absl::Duration now = store_.clock().MonotonicNow();
    look.next = now + std::max(kShortestPause, 100 * (now - began));
  }
  for (size_t i = 0; i < lost.size(); ++i)
    lost[i] -= std::min(lost[i], look.waiting[i]);
  return lost;
}

}  // namespace shoal::server
