// Two parts of `device explain` that are about images: does what a rollout
// leads to fit the device, and was the device left with an aborted one?
#ifndef SHOAL_SERVER_ROLLOUT_EXPLAIN_FIT_H_
#define SHOAL_SERVER_ROLLOUT_EXPLAIN_FIT_H_

#include "absl/status/status.h"
#include "server/rollout/rollouts.h"

namespace shoal::server {

// By the floor that the device's running image left, and by what it says of its
// hardware and components: "below_floor", "wrong_hardware", "dependency_unmet".
absl::Status ExplainFit(const Store& store, const store::DeviceRow& device,
                        const rollout::v1::RolloutDocument& document,
                        rollout::v1::Explanation& out);

// The device runs the image of an aborted rollout, and nothing leads it back:
// "left_there".
absl::Status ExplainLeft(const Rollouts& rollouts,
                         const store::DeviceRow& device,
                         rollout::v1::Explanation& out);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_EXPLAIN_FIT_H_
