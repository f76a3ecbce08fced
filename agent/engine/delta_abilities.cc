#include "agent/engine/delta_abilities.h"

#include "agent/patch/patch_runner.h"
#include "common/files.h"
#include "common/log.h"

namespace shoal::agent {

rules::DeltaAbilities UsualDeltaAbilities(const AgentConfig& config) {
  return {.sdelta1 = true,
          .bsdiff40 = true,
          .memory = config.max_delta_memory,
          .tools = {}};
}

rules::DeltaAbilities FindDeltaAbilities(const AgentConfig& config) {
  rules::DeltaAbilities abilities = UsualDeltaAbilities(config);
  const auto tools =
      AskPatchTools(JoinPath(config.program_directory, "shoal-patch"));
  if (tools.ok()) {
    abilities.tools = {tools->model,
                       {tools->codecs.begin(), tools->codecs.end()}};
  } else {
    LogWarn("delta_tools_unknown", {{"error", tools.status()}});
  }
  return abilities;
}

}  // namespace shoal::agent
