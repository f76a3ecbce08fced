// What the states of a rollout mean to those who are not rollouts.
#ifndef SHOAL_SERVER_ROLLOUT_ROLLOUT_STATE_H_
#define SHOAL_SERVER_ROLLOUT_ROLLOUT_STATE_H_

#include "shoal/rollout/v1/document.pb.h"

namespace shoal::server {

// Nothing brings it back. A halted one has not ended: it may be resumed.
inline bool HasEnded(rollout::v1::RolloutState state) {
  return state == rollout::v1::ROLLOUT_STATE_FINISHED ||
         state == rollout::v1::ROLLOUT_STATE_FAILED ||
         state == rollout::v1::ROLLOUT_STATE_ABORTED;
}

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_ROLLOUT_STATE_H_
