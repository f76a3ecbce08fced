// What a rollout would do, to whom and for how many bytes: `--dry-run`.
#ifndef SHOAL_SERVER_ROLLOUT_FORECAST_H_
#define SHOAL_SERVER_ROLLOUT_FORECAST_H_

#include "absl/status/statusor.h"
#include "server/release/deltas.h"
#include "server/rollout/rollouts.h"
#include "shoal/rollout/v1/rollout_service.pb.h"

namespace shoal::server {

// Reads the deltas that are there already; makes and changes nothing.
absl::StatusOr<rollout::v1::RolloutPlan> Forecast(const Rollouts::Draft& draft,
                                                  const Deltas& deltas,
                                                  const Rollouts& rollouts,
                                                  absl::Time now);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_FORECAST_H_
