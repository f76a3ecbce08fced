// shoal-agent status.
#include <iostream>

#include "agent/cli/command.h"
#include "agent/status.h"
#include "agent/status_metrics.h"
#include "common/files.h"

namespace shoal::agent {

void AddStatusCommands(CLI::App& app, Shared& shared, Commands& commands) {
  CLI::App* status = app.add_subcommand("status", "Show the device's state");
  AddConfig(status, shared)->required();
  AddOutput(status, shared, {"text", "json", "prometheus"});
  commands.push_back({status, [&shared] {
                        FileSystem& fs = RealFileSystem();
                        const auto config = shared.Config();
                        if (!config.ok())
                          return PrintError(config.status(), shared.as_json());
                        const auto text = shared.as_json()
                                              ? StatusJson(fs, *config)
                                          : shared.output == "prometheus"
                                              ? StatusMetrics(fs, *config)
                                              : StatusText(fs, *config);
                        if (!text.ok())
                          return PrintError(text.status(), shared.as_json());
                        std::cout << *text;
                        return 0;
                      }});
}

}  // namespace shoal::agent
