// What time it is when several time keys have answered and some may lie (T26).
#ifndef SHOAL_SIGNING_VERIFY_TIME_QUORUM_H_
#define SHOAL_SIGNING_VERIFY_TIME_QUORUM_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace shoal::signing {

// Answers further apart do not agree.
inline constexpr absl::Duration kTimeAgreement = absl::Seconds(60);

// How many must agree in a fleet of so many time keys: more than half of them,
// three at the most. So one key decides alone, two only together, of three one
// may lie or be away, and from four on three make the time.
size_t TimeAnswersNeeded(size_t keys_of_fleet);

// `answers`: one for each time key that answered, all brought to one moment.
// The largest set within kTimeAgreement decides, if it has as many as are
// needed and is more than half of all answers; its median (the earlier of two)
// is the time. kUnavailable "too_few_time_answers", kFailedPrecondition
// "time_disagreement".
absl::StatusOr<absl::Time> AgreeOnTime(std::vector<absl::Time> answers,
                                       size_t keys_of_fleet);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_TIME_QUORUM_H_
