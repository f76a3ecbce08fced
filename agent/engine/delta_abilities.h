// What deltas this device can take.
#ifndef SHOAL_AGENT_ENGINE_DELTA_ABILITIES_H_
#define SHOAL_AGENT_ENGINE_DELTA_ABILITIES_H_

#include "agent/state/agent_config.h"
#include "rules/delta_abilities.h"

namespace shoal::agent {

// What every shoal-patch can do, within the memory that the owner gives.
rules::DeltaAbilities UsualDeltaAbilities(const AgentConfig& config);

// Beside that what this device's shoal-patch has of model and codecs: asks it,
// which takes a few milliseconds. That one does not answer is noted in the log.
rules::DeltaAbilities FindDeltaAbilities(const AgentConfig& config);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_ENGINE_DELTA_ABILITIES_H_
