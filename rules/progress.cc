#include "rules/progress.h"

#include <fmt/format.h>

#include "rules/outcomes.h"

namespace shoal::rules {

using rollout::v1::RolloutDocument;
using Kind = PlaneStep::Kind;

PlaneStep NextStep(const RolloutDocument& document, const PlaneView& view) {
  const int open = static_cast<int>(document.open_phase());
  const auto raw = [&view](int phase) {
    const size_t i = static_cast<size_t>(phase);
    return i < view.counts.size() ? view.counts[i] : OutcomeCount{};
  };
  const auto counted = [&](int phase) {
    const size_t i = static_cast<size_t>(phase);
    return WithoutAccepted(raw(phase), i < view.accepted_failures.size()
                                           ? view.accepted_failures[i]
                                           : 0);
  };
  // A phase that is open stays under the threshold, not the newest one only.
  // Outcomes of a phase that is not open yet for the plane come from devices
  // that opened it while no plane was up.
  for (int i = 0; i < document.phases_size(); ++i) {
    const OutcomeCount count = counted(i);
    if (TooManyFailures(document, i, count))
      return {
          Kind::kHalt,
          fmt::format("error_threshold: phase {} has {} failures of {}",
                      document.phases(i).name(), count.failed, count.total())};
  }
  if (view.now >= absl::FromUnixSeconds(document.expires()))
    return {Kind::kFinish, "expired"};
  if (open + 1 == document.phases_size()) {
    uint64_t expected = 0;
    uint64_t seen = 0;
    for (int i = 0; i < document.phases_size(); ++i) {
      expected += document.phases(i).expected_devices();
      // Every device has answered, and none tries again by itself.
      seen += raw(i).total() - raw(i).trying + raw(i).refused + raw(i).gone;
    }
    return expected > 0 && seen >= expected ? PlaneStep{Kind::kFinish, ""}
                                            : PlaneStep{};
  }
  const GateDecision gate = EvaluateGate(
      document, open, counted(open),
      Approved(document.phases(open).gate(), view.approvers), view.now);
  switch (gate.answer) {
    case GateAnswer::kWait:
      return {Kind::kWait, gate.reason};
    case GateAnswer::kHalt:
      return {Kind::kHalt, gate.reason};
    case GateAnswer::kOpen:
      return {Kind::kOpenNext, ""};
  }
  return {};
}

}  // namespace shoal::rules
