#include "agent/install/components.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "common/log.h"
#include "common/status.h"
#include "common/subprocess.h"

namespace shoal::agent {
namespace {

constexpr absl::Duration kCounterTime = absl::Seconds(10);
constexpr absl::Duration kAskAgain = absl::Minutes(1);  // what failed
constexpr size_t kMaxOutput = 400;  // of a message, which has 512

absl::StatusOr<std::string> RunProgram(const std::string& name,
                                       std::vector<std::string> arguments,
                                       std::vector<std::string> more,
                                       absl::Duration time_limit) {
  SubprocessOptions options;
  const std::string action = arguments[1];
  options.arguments = std::move(arguments);
  options.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
                         "SHOAL_COMPONENT=" + name};
  for (std::string& one : more) options.environment->push_back(std::move(one));
  options.new_session = true;
  const auto result = RunCommand(std::move(options), time_limit);
  if (!result.ok())
    return FailedPrecondition(
        "component_failed",
        fmt::format("{} {}: {}", name, action,
                    std::string(result.status().message())));
  std::string output(absl::StripAsciiWhitespace(result->output));
  if (result->status.ok()) return output;
  if (output.size() > kMaxOutput) output.erase(0, output.size() - kMaxOutput);
  return FailedPrecondition(
      "component_failed",
      fmt::format("{} {}: {}{}{}", name, action, result->status.ToString(),
                  output.empty() ? "" : ": ", output));
}

absl::StatusOr<uint64_t> AskCounter(const std::string& name,
                                    const ComponentProgram& program) {
  SHOAL_ASSIGN_OR_RETURN(
      const std::string output,
      RunProgram(name, {program.program, "counter"}, {},
                 std::min(kCounterTime, program.time_limit)));
  uint64_t counter = 0;
  if (!absl::SimpleAtoi(output, &counter))
    return FailedPrecondition("component_failed",
                              fmt::format("{} counter: '{}' is no number", name,
                                          output.substr(0, kMaxOutput)));
  return counter;
}

}  // namespace

std::string_view ComponentActionName(ComponentAction action) {
  switch (action) {
    case ComponentAction::kInstall:
      return "install";
    case ComponentAction::kCommit:
      return "commit";
    case ComponentAction::kRollback:
      return "rollback";
  }
  return "unknown";
}

const Components::Answer* Components::Ask(const std::string& name,
                                          const ComponentProgram& program) {
  const auto known = answers_.find(name);
  const absl::Duration now = clock_.MonotonicNow();
  const bool first = known == answers_.end();
  if (!first && !known->second.over &&
      (known->second.counter || now - known->second.asked < kAskAgain))
    return &known->second;
  const std::unique_lock at_work(at_work_, std::try_to_lock);
  if (!at_work) return first ? nullptr : &known->second;
  const auto counter = AskCounter(name, program);
  if (first && !counter.ok())
    LogWarn("component_unknown",
            {{"component", name}, {"error", counter.status()}});
  Answer& answer = answers_[name];
  answer = {std::nullopt, now};
  if (counter.ok()) answer.counter = *counter;
  return &answer;
}

rules::DeviceParts Components::Parts() {
  rules::DeviceParts parts = config_.parts;
  std::lock_guard lock(mutex_);
  for (const auto& [name, program] : config_.components) {
    const Answer* answer = Ask(name, program);
    if (answer == nullptr || !answer->counter) continue;
    parts.components[name] = *answer->counter;
    parts.installs.insert(name);
  }
  return parts;
}

absl::Status Components::Run(const ComponentUpdate& update,
                             ComponentAction action, const std::string& file) {
  const auto program = config_.components.find(update.name);
  if (program == config_.components.end())
    return FailedPrecondition(
        "unknown_component",
        fmt::format("agent.toml has no [components.{}]", update.name));
  std::vector<std::string> arguments = {
      program->second.program, std::string(ComponentActionName(action))};
  if (action == ComponentAction::kInstall) arguments.push_back(file);
  std::unique_lock at_work(at_work_);
  const auto output =
      RunProgram(update.name, std::move(arguments),
                 {fmt::format("SHOAL_COUNTER={}", update.counter),
                  "SHOAL_VERSION=" + update.version},
                 program->second.time_limit);
  LogInfo("component", {{"component", update.name},
                        {"action", ComponentActionName(action)},
                        {"counter", update.counter},
                        {"ok", output.ok()}});
  at_work.unlock();
  std::lock_guard lock(mutex_);
  if (const auto known = answers_.find(update.name); known != answers_.end())
    known->second.over = true;
  return output.status();
}

}  // namespace shoal::agent
