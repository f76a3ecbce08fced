// The device's own health check: a program of its configuration, never of a
// rollout.
#ifndef SHOAL_AGENT_ENGINE_HEALTH_H_
#define SHOAL_AGENT_ENGINE_HEALTH_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "agent/engine/engine.h"

namespace shoal::agent {

// Runs `command` (no shell) with SHOAL_SLOT_IMAGE and SHOAL_VERSION in its
// environment. Healthy: exit code 0 within `timeout`. Without a command an
// image that runs is healthy.
HealthResult RunHealthCheck(const std::vector<std::string>& command,
                            absl::Duration timeout,
                            const RunningImage& running);

// The environment that programs started for an image get.
std::vector<std::string> ImageEnvironment(const RunningImage& running);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_ENGINE_HEALTH_H_
