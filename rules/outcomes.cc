#include "rules/outcomes.h"

namespace shoal::rules {

OutcomeVerdict JudgeOutcome(const rollout::v1::RolloutDocument& document,
                            records::v1::OutcomeResult result,
                            std::string_view running_sha256) {
  if (result == records::v1::OUTCOME_RESULT_REFUSED)
    return OutcomeVerdict::kRefused;
  return result == records::v1::OUTCOME_RESULT_SUCCESS &&
                 running_sha256 == document.release().sha256()
             ? OutcomeVerdict::kSucceeded
             : OutcomeVerdict::kFailed;
}

void OutcomeTally::Add(std::string_view device, uint64_t counter, int phase,
                       OutcomeVerdict verdict) {
  if (phase < 0 || static_cast<size_t>(phase) >= phases_) return;
  if (counter == 0) return;
  Latest& latest = latest_[std::string(device)];
  if (latest.counter != 0) {
    // What a device tried says more than what it refused before or after.
    const bool tried = verdict != OutcomeVerdict::kRefused;
    const bool had_tried = latest.verdict != OutcomeVerdict::kRefused;
    if (tried == had_tried ? counter <= latest.counter : had_tried) return;
  }
  latest = {counter, static_cast<size_t>(phase), verdict};
}

std::vector<OutcomeCount> OutcomeTally::ByPhase() const {
  std::vector<OutcomeCount> counts(phases_);
  for (const auto& [device, latest] : latest_) {
    OutcomeCount& count = counts[latest.phase];
    switch (latest.verdict) {
      case OutcomeVerdict::kSucceeded:
        ++count.succeeded;
        break;
      case OutcomeVerdict::kFailed:
        ++count.failed;
        break;
      case OutcomeVerdict::kRefused:
        ++count.refused;
        break;
    }
  }
  return counts;
}

}  // namespace shoal::rules
