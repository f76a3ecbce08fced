#ifndef SHOAL_SERVER_CLI_ROLLOUT_HALT_H_
#define SHOAL_SERVER_CLI_ROLLOUT_HALT_H_

#include "server/cli/program.h"

namespace CLI {
class App;
}

namespace shoal::cli {

// "rollout halt": a record signed by the operator, so no server has a say.
void AddHaltCommand(CLI::App& group, Program& program);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_ROLLOUT_HALT_H_
