#include "rules/outcomes.h"

#include <algorithm>
#include <utility>

#include "rules/way_back.h"

namespace shoal::rules {
namespace {

bool Tried(OutcomeVerdict verdict) {
  return verdict == OutcomeVerdict::kSucceeded ||
         verdict == OutcomeVerdict::kFailed;
}

}  // namespace

OutcomeVerdict JudgeOutcome(const rollout::v1::RolloutDocument& document,
                            records::v1::OutcomeResult result,
                            std::string_view running_sha256,
                            std::string_view reason) {
  if (result == records::v1::OUTCOME_RESULT_REFUSED)
    return JudgeRefusal(reason);
  return result == records::v1::OUTCOME_RESULT_SUCCESS &&
                 LeadsTo(document, running_sha256)
             ? OutcomeVerdict::kSucceeded
             : OutcomeVerdict::kFailed;
}

OutcomeVerdict JudgeRefusal(std::string_view reason) {
  return reason == "dependency_unmet" || reason == "policy_denied"
             ? OutcomeVerdict::kWaiting
             : OutcomeVerdict::kRefused;
}

bool SaysMore(uint64_t counter, OutcomeVerdict verdict, uint64_t old_counter,
              OutcomeVerdict old_verdict) {
  const bool tried = Tried(verdict);
  const bool had_tried = Tried(old_verdict);
  return tried == had_tried ? counter > old_counter : tried;
}

void OutcomeTally::Add(std::string_view device, uint64_t counter, int phase,
                       OutcomeVerdict verdict, absl::Time at) {
  if (phase < 0 || static_cast<size_t>(phase) >= phases_) return;
  if (counter == 0) return;
  Latest& latest = latest_[std::string(device)];
  if (latest.counter != 0) {
    if (!SaysMore(counter, verdict, latest.counter, latest.verdict)) return;
  }
  latest = {counter, static_cast<size_t>(phase), verdict, at};
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
        count.failed_at.push_back(latest.at);
        break;
      case OutcomeVerdict::kRefused:
        ++count.refused;
        break;
      case OutcomeVerdict::kWaiting:
        break;
    }
    if (Tried(latest.verdict)) count.answered_at.push_back(latest.at);
  }
  for (OutcomeCount& count : counts) {
    std::sort(count.answered_at.begin(), count.answered_at.end());
    std::sort(count.failed_at.begin(), count.failed_at.end());
  }
  return counts;
}

OutcomeCount WithoutAccepted(OutcomeCount count, uint32_t accepted) {
  count.accepted = std::min(count.failed, accepted);
  count.failed -= count.accepted;
  return count;
}

OutcomeCount WithoutAccepted(const rollout::v1::RolloutDocument& document,
                             int phase, OutcomeCount count) {
  for (const auto& entry : document.accepted_failures()) {
    if (entry.phase() != static_cast<uint32_t>(phase)) continue;
    const auto in_time =
        std::upper_bound(count.failed_at.begin(), count.failed_at.end(),
                         absl::FromUnixMillis(entry.until())) -
        count.failed_at.begin();
    return WithoutAccepted(
        std::move(count),
        std::min(entry.count(), static_cast<uint32_t>(in_time)));
  }
  return count;
}

}  // namespace shoal::rules
