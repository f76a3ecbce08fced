// What `shoal-agent status` shows.
#ifndef SHOAL_AGENT_STATUS_H_
#define SHOAL_AGENT_STATUS_H_

#include <string>

#include "absl/status/statusor.h"
#include "agent/state/agent_config.h"
#include "common/files.h"

namespace shoal::agent {

// One JSON object, from the state directory alone; works with the agent
// running or not. docs/device.md lists the fields.
absl::StatusOr<std::string> StatusJson(FileSystem& fs,
                                       const AgentConfig& config);
// The same for people.
absl::StatusOr<std::string> StatusText(FileSystem& fs,
                                       const AgentConfig& config);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_STATUS_H_
