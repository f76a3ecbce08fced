#include "rules/outcome_shard.h"

namespace shoal::rules {

uint32_t OutcomeShards(const rollout::v1::RolloutDocument& document,
                       int phase) {
  if (phase < 0 || phase >= document.phases_size()) return 1;
  const uint64_t expected = document.phases(phase).expected_devices();
  if (expected <= 200) return 1;
  uint32_t shards = 2;
  while (shards < kMaxOutcomeShards && uint64_t{shards} * 100 < expected)
    shards *= 2;
  return shards;
}

}  // namespace shoal::rules
