// A rollout as people see it. Pure.
#ifndef SHOAL_SERVER_CLI_ROLLOUT_VIEW_H_
#define SHOAL_SERVER_CLI_ROLLOUT_VIEW_H_

#include <string>

#include "shoal/rollout/v1/rollout_service.pb.h"

namespace shoal::cli {

// "active", "finished", …
std::string StateText(rollout::v1::RolloutState state);
// Nothing more will happen.
bool IsFinal(rollout::v1::RolloutState state);

// Several lines: state, phases with bars, failures with their reasons.
std::string DescribeRollout(const rollout::v1::Rollout& rollout);
// One line for logs; equal as long as nothing of interest changed.
std::string RolloutLine(const rollout::v1::Rollout& rollout);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_ROLLOUT_VIEW_H_
