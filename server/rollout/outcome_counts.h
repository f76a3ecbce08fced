// How many outcomes a rollout has, by phase and kind. Kept beside the outcomes,
// in the change that takes one in: gates, watches and metrics ask for the
// numbers far more often than an outcome comes, and must not read all of them
// each time.
#ifndef SHOAL_SERVER_ROLLOUT_OUTCOME_COUNTS_H_
#define SHOAL_SERVER_ROLLOUT_OUTCOME_COUNTS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "rules/outcomes.h"
#include "rules/rollout.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"

namespace shoal::server {

rules::OutcomeVerdict VerdictOf(const rollout::v1::DeviceOutcome& outcome);

// The rollout's row of `outcome_count`, with an entry for each of the
// document's phases; counted from the outcomes when an older plane left none.
// In a transaction: before its first Put() of an outcome of this rollout.
absl::StatusOr<store::OutcomeCountsRow> ReadOutcomeCounts(
    const Store& store, const rollout::v1::RolloutDocument& document);
absl::StatusOr<store::OutcomeCountsRow> ReadOutcomeCounts(
    const Transaction& tx, const rollout::v1::RolloutDocument& document);

// `after` takes the place of `before` (null: the device's first). A phase that
// the document does not have is counted nowhere.
void CountOutcome(const rollout::v1::DeviceOutcome* before,
                  const rollout::v1::DeviceOutcome& after,
                  store::OutcomeCountsRow& counts);

// For the rules; an entry a phase.
std::vector<rules::OutcomeCount> CountsByPhase(
    const store::OutcomeCountsRow& counts);
// Devices that answered.
uint32_t TotalOutcomes(const store::OutcomeCountsRow& counts);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_OUTCOME_COUNTS_H_
