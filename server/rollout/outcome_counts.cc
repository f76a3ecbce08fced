#include "server/rollout/outcome_counts.h"

#include <algorithm>

#include "common/status.h"

namespace shoal::server {
namespace {

using rollout::v1::DeviceOutcome;
using rollout::v1::RolloutDocument;

bool IsOdd(const DeviceOutcome& outcome) {
  return outcome.late() || outcome.wrong_clock();
}

uint32_t Moved(uint32_t number, int by) {
  return by < 0 && number == 0 ? 0 : number + static_cast<uint32_t>(by);
}

void Move(const DeviceOutcome& outcome, int by,
          store::OutcomeCountsRow& counts) {
  if (IsOdd(outcome)) counts.set_odd(Moved(counts.odd(), by));
  if (outcome.phase() >= static_cast<uint32_t>(counts.phases_size())) return;
  auto& phase = *counts.mutable_phases(static_cast<int>(outcome.phase()));
  switch (VerdictOf(outcome)) {
    case rules::OutcomeVerdict::kSucceeded:
      phase.set_succeeded(Moved(phase.succeeded(), by));
      break;
    case rules::OutcomeVerdict::kFailed:
      phase.set_failed(Moved(phase.failed(), by));
      if (outcome.tries_left() > 0) phase.set_trying(Moved(phase.trying(), by));
      break;
    case rules::OutcomeVerdict::kRefused:
      phase.set_refused(Moved(phase.refused(), by));
      break;
    case rules::OutcomeVerdict::kWaiting:
      break;
  }
  if (by > 0)
    phase.set_last_received_at(
        std::max(phase.last_received_at(), outcome.received_at()));
}

absl::StatusOr<store::OutcomeCountsRow> Complete(
    const Store& store, const RolloutDocument& document,
    absl::StatusOr<store::OutcomeCountsRow> found) {
  if (!absl::IsNotFound(found.status())) {
    SHOAL_RETURN_IF_ERROR(found);
    while (found->phases_size() < document.phases_size()) found->add_phases();
    return found;
  }
  store::OutcomeCountsRow counts;
  while (counts.phases_size() < document.phases_size()) counts.add_phases();
  SHOAL_RETURN_IF_ERROR(store.Scan<store::OutcomeRow>(
      kOutcomes, document.id() + "/", "",
      [&](std::string_view, const store::OutcomeRow& row) {
        CountOutcome(nullptr, row.outcome(), counts);
        return true;
      }));
  return counts;
}

}  // namespace

rules::OutcomeVerdict VerdictOf(const DeviceOutcome& outcome) {
  if (outcome.success()) return rules::OutcomeVerdict::kSucceeded;
  return outcome.refused() ? rules::JudgeRefusal(outcome.reason())
                           : rules::OutcomeVerdict::kFailed;
}

absl::StatusOr<store::OutcomeCountsRow> ReadOutcomeCounts(
    const Store& store, const RolloutDocument& document) {
  return Complete(
      store, document,
      store.Get<store::OutcomeCountsRow>(kOutcomeCounts, document.id()));
}

absl::StatusOr<store::OutcomeCountsRow> ReadOutcomeCounts(
    const Transaction& tx, const RolloutDocument& document) {
  return Complete(
      tx.store(), document,
      tx.Get<store::OutcomeCountsRow>(kOutcomeCounts, document.id()));
}

void CountOutcome(const DeviceOutcome* before, const DeviceOutcome& after,
                  store::OutcomeCountsRow& counts) {
  if (before != nullptr) Move(*before, -1, counts);
  Move(after, 1, counts);
}

std::vector<rules::OutcomeCount> CountsByPhase(
    const store::OutcomeCountsRow& counts) {
  std::vector<rules::OutcomeCount> by_phase;
  for (const auto& phase : counts.phases())
    by_phase.push_back({.succeeded = phase.succeeded(),
                        .failed = phase.failed(),
                        .refused = phase.refused(),
                        .trying = phase.trying(),
                        .gone = phase.gone()});
  return by_phase;
}

uint32_t TotalOutcomes(const store::OutcomeCountsRow& counts) {
  uint32_t total = 0;
  for (const auto& phase : counts.phases())
    total += phase.succeeded() + phase.failed() + phase.refused();
  return total;
}

}  // namespace shoal::server
