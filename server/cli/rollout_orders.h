#ifndef SHOAL_SERVER_CLI_ROLLOUT_ORDERS_H_
#define SHOAL_SERVER_CLI_ROLLOUT_ORDERS_H_

namespace CLI {
class App;
}

namespace shoal::cli {

class Program;

// "rollout pause", "resume", "activate" and "abort".
void AddOrderCommands(CLI::App& rollouts, Program& program);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_ROLLOUT_ORDERS_H_
