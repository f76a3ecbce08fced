#include "signing/verify/time_quorum.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/status.h"

namespace shoal::signing {
namespace {

constexpr size_t kMostNeeded = 3;

}  // namespace

size_t TimeAnswersNeeded(size_t keys_of_fleet) {
  return std::min(kMostNeeded, keys_of_fleet / 2 + 1);
}

absl::StatusOr<absl::Time> AgreeOnTime(std::vector<absl::Time> answers,
                                       size_t keys_of_fleet) {
  const size_t needed = TimeAnswersNeeded(keys_of_fleet);
  if (answers.size() < needed)
    return Unavailable(
        "too_few_time_answers",
        fmt::format("{} of the fleet's {} time keys answered, {} must agree: "
                    "are enough storage nodes with a time key reachable?",
                    answers.size(), keys_of_fleet, needed));
  std::sort(answers.begin(), answers.end());
  size_t best = 0;
  size_t first = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    const size_t end =
        static_cast<size_t>(std::upper_bound(answers.begin(), answers.end(),
                                             answers[i] + kTimeAgreement) -
                            answers.begin());
    if (end - i <= best) continue;
    best = end - i;
    first = i;
  }
  if (best < needed || 2 * best <= answers.size())
    return FailedPrecondition(
        "time_disagreement",
        fmt::format("of {} time keys' answers at most {} agree within {}: the "
                    "clocks of the storage nodes are wrong (NTP?), or some lie",
                    answers.size(), best,
                    absl::FormatDuration(kTimeAgreement)));
  return answers[first + (best - 1) / 2];
}

}  // namespace shoal::signing
