// When the phases of a rollout are expected to open and to have answered: by
// their gates, the windows and what came in so far. Pure.
#ifndef SHOAL_SERVER_ROLLOUT_PHASE_TIMES_H_
#define SHOAL_SERVER_ROLLOUT_PHASE_TIMES_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "rules/rollout.h"
#include "server/store/state.pb.h"
#include "shoal/policy/v1/policy.pb.h"

namespace shoal::server {

struct PhaseTimes {
  // kNever: not known.
  static constexpr absl::Time kNever = absl::InfiniteFuture();
  absl::Time opens = kNever;     // or opened
  absl::Time answered = kNever;  // by all, or was
  // Why one of them is not known: as PhaseProgress.waits_for says.
  std::string waits_for;
};

// By phase. `counts` with their lost devices; `last_answers`: when the newest
// outcome of each phase came, the infinite past: none did.
std::vector<PhaseTimes> TimesOf(const store::RolloutRow& row,
                                const std::vector<rules::OutcomeCount>& counts,
                                const std::vector<absl::Time>& last_answers,
                                const policy::v1::AccessPolicy& policy,
                                absl::Time now);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_PHASE_TIMES_H_
