// Over how many places the outcomes of a rollout's phase are spread. Which of
// them is a device's: PlaceNamer::Outcome (dht/records/place.h).
#ifndef SHOAL_RULES_OUTCOME_SHARD_H_
#define SHOAL_RULES_OUTCOME_SHARD_H_

#include <cstdint>

#include "shoal/rollout/v1/document.pb.h"

namespace shoal::rules {

inline constexpr uint32_t kMaxOutcomeShards = 256;

// One place for up to 200 expected devices; else the smallest power of two
// that leaves at most 100 of them at a place on average, at most
// kMaxOutcomeShards. A power of two, so that whoever does not know the rollout
// has nine places to compare, not 256. 1 for a phase that does not exist. The
// answer is the same for every version of a rollout: the plane never changes
// expected_devices.
uint32_t OutcomeShards(const rollout::v1::RolloutDocument& document, int phase);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_OUTCOME_SHARD_H_
