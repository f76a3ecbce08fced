// Which deltas rollouts and releases ask for.
#ifndef SHOAL_SERVER_ROLLOUT_DELTA_DEMAND_H_
#define SHOAL_SERVER_ROLLOUT_DELTA_DEMAND_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/release/deltas.h"
#include "server/rollout/rollouts.h"

namespace shoal::server {

// Of one rollout: its release, then those that it leads back to. One that leads
// back asks for deltas from the image that it leads back from alone.
absl::StatusOr<std::vector<DeltaDemand>> DemandOfRollout(
    const Releases& releases, const store::RolloutRow& row);

// Of the whole plane, most urgent first: rollouts that wait for their deltas,
// rollouts at work (devices come back with other images), and the newest
// release of each device type, so that its deltas are there before a rollout.
absl::StatusOr<std::vector<DeltaDemand>> DemandOfPlane(
    const Rollouts& rollouts, const Releases& releases);

// What was made of it, by the target that carries it.
struct DeltaIndexes {
  uint32_t wanted = 0;
  uint32_t made = 0;  // or found useless
  uint64_t bytes = 0;
  // Not empty ones only.
  std::map<std::string, release::v1::DeltaIndex> by_target;
  uint32_t deltas() const;
};
absl::StatusOr<DeltaIndexes> IndexesOf(const Releases& releases,
                                       const Deltas& deltas,
                                       const store::RolloutRow& row);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_DELTA_DEMAND_H_
