#include "agent/engine/health.h"

#include <fmt/format.h>

#include "common/status.h"
#include "common/subprocess.h"

namespace shoal::agent {
namespace {
constexpr size_t kMaxOutput = 1024;
}

std::vector<std::string> ImageEnvironment(const RunningImage& running) {
  return {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
          "SHOAL_SLOT_IMAGE=" + running.path,
          "SHOAL_VERSION=" + running.info.version};
}

HealthResult RunHealthCheck(const std::vector<std::string>& command,
                            absl::Duration timeout,
                            const RunningImage& running) {
  if (command.empty()) return {true, "no health check is configured"};
  SubprocessOptions options;
  options.arguments = command;
  options.environment = ImageEnvironment(running);
  options.new_session = true;
  const auto result = RunCommand(options, timeout);
  if (!result.ok())
    return {false, fmt::format("{}: {}", ReasonOf(result.status()),
                               std::string(result.status().message()))};
  std::string output = result->output;
  if (!result->status.ok())
    output += fmt::format("\n[{}]", result->status.ToString());
  if (output.size() > kMaxOutput) output.erase(0, output.size() - kMaxOutput);
  return {result->status.ok(), output};
}

}  // namespace shoal::agent
