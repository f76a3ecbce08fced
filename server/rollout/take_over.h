// Which rollouts lose devices to a new one: on each device the newest wins.
#ifndef SHOAL_SERVER_ROLLOUT_TAKE_OVER_H_
#define SHOAL_SERVER_ROLLOUT_TAKE_OVER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/rollout/rollouts.h"

namespace shoal::server {

// Whether every device that `older` selects is selected by `newer`, as far as
// the selectors alone show it: such a rollout ends as superseded.
bool Covers(const policy::v1::DeviceSelector& newer,
            const policy::v1::DeviceSelector& older);

// A sentence for each rollout at work of the draft's device type that goes on
// without some of its devices, the newest first. Those that the draft covers
// whole are none: they end, as they should. Devices that run what the older
// one brings, and those that it does not concern, don't count.
absl::StatusOr<std::vector<std::string>> TakeOverWarnings(
    const Rollouts::Draft& draft, const Rollouts& rollouts);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_TAKE_OVER_H_
