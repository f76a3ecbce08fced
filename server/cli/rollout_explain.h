#ifndef SHOAL_SERVER_CLI_ROLLOUT_EXPLAIN_H_
#define SHOAL_SERVER_CLI_ROLLOUT_EXPLAIN_H_

namespace CLI {
class App;
}

namespace shoal::cli {

class Program;

// "rollout explain", and "device explain" when there is a device group.
void AddExplainCommands(CLI::App& rollouts, CLI::App* devices,
                        Program& program);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_ROLLOUT_EXPLAIN_H_
