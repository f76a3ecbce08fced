#include "agent/state/update_record.h"

#include <array>
#include <utility>

namespace shoal::agent {
namespace {
constexpr std::array<std::pair<UpdateState, std::string_view>, 12> kNames = {{
    {UpdateState::kIdle, "idle"},
    {UpdateState::kFetching, "fetching"},
    {UpdateState::kInstalling, "installing"},
    {UpdateState::kVerifying, "verifying"},
    {UpdateState::kReady, "ready"},
    {UpdateState::kRebooting, "rebooting"},
    {UpdateState::kComponents, "components"},
    {UpdateState::kChecking, "checking"},
    {UpdateState::kCommitting, "committing"},
    {UpdateState::kRollingBack, "rolling_back"},
    {UpdateState::kFailed, "failed"},
    {UpdateState::kReporting, "reporting"},
}};
}  // namespace

std::string_view UpdateStateName(UpdateState state) {
  for (const auto& [value, name] : kNames)
    if (value == state) return name;
  return "unknown";
}

std::string_view UpdateResultName(UpdateResult result) {
  switch (result) {
    case UpdateResult::kSuccess:
      return "success";
    case UpdateResult::kRolledBack:
      return "rolled_back";
    case UpdateResult::kRefused:
      return "refused";
    case UpdateResult::kFailed:
      return "failed";
    case UpdateResult::kNone:
      break;
  }
  return "none";
}

std::optional<UpdateState> UpdateStateFromName(std::string_view name) {
  for (const auto& [value, text] : kNames)
    if (text == name) return value;
  return std::nullopt;
}

}  // namespace shoal::agent
