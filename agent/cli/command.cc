#include "agent/cli/command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/status.h"

namespace shoal::agent {

CLI::Option* AddConfig(CLI::App* command, Shared& shared) {
  return command->add_option("--config", shared.config_path, "agent.toml");
}

void AddOutput(CLI::App* command, Shared& shared,
               std::vector<std::string> forms) {
  command
      ->add_option("--output", shared.output,
                   fmt::format("{} [text]", fmt::join(forms, ", ")))
      ->check(CLI::IsMember(std::move(forms)));
}

int PrintError(const absl::Status& status, bool as_json) {
  if (as_json)
    std::cout << nlohmann::json{{"result", "refused"},
                                {"reason", ReasonOf(status)},
                                {"message", std::string(status.message())}}
                     .dump(2, ' ', false,
                           nlohmann::json::error_handler_t::replace)
              << "\n";
  else
    std::cerr << "shoal-agent: " << ReasonOf(status) << ": "
              << std::string(status.message()) << "\n";
  return 1;
}

}  // namespace shoal::agent
