#include "rules/outcomes.h"

#include "rules/way_back.h"

namespace shoal::rules {

OutcomeVerdict JudgeOutcome(const rollout::v1::RolloutDocument& document,
                            records::v1::OutcomeResult result,
                            std::string_view running_sha256) {
  if (result == records::v1::OUTCOME_RESULT_REFUSED)
    return OutcomeVerdict::kRefused;
  return result == records::v1::OUTCOME_RESULT_SUCCESS &&
                 LeadsTo(document, running_sha256)
             ? OutcomeVerdict::kSucceeded
             : OutcomeVerdict::kFailed;
}

bool SaysMore(uint64_t counter, OutcomeVerdict verdict, uint64_t old_counter,
              OutcomeVerdict old_verdict) {
  const bool tried = verdict != OutcomeVerdict::kRefused;
  const bool had_tried = old_verdict != OutcomeVerdict::kRefused;
  return tried == had_tried ? counter > old_counter : tried;
}

void OutcomeTally::Add(std::string_view device, uint64_t counter, int phase,
                       OutcomeVerdict verdict) {
  if (phase < 0 || static_cast<size_t>(phase) >= phases_) return;
  if (counter == 0) return;
  Latest& latest = latest_[std::string(device)];
  if (latest.counter != 0) {
    if (!SaysMore(counter, verdict, latest.counter, latest.verdict)) return;
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
