// What a rollout would do, and why something waits, for people. Pure.
#ifndef SHOAL_SERVER_CLI_ROLLOUT_PLAN_VIEW_H_
#define SHOAL_SERVER_CLI_ROLLOUT_PLAN_VIEW_H_

#include <string>

#include "shoal/rollout/v1/rollout_service.pb.h"

namespace shoal::cli {

// Phases, devices (the first 20), bytes, time, promises, warnings.
std::string DescribePlan(const rollout::v1::RolloutPlan& plan);

// The summary and a line for each condition: "ok", "NO" or "?".
std::string DescribeExplanation(const rollout::v1::Explanation& explanation);

// "90s", "15m", "2h30m", "3d": the two greatest units.
std::string ShortDuration(int64_t seconds);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_ROLLOUT_PLAN_VIEW_H_
