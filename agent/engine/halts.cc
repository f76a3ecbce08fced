#include "agent/engine/halts.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"

namespace shoal::agent {
namespace {

bool IsFinished(const StateData& state, const std::string& rollout) {
  const auto memory = state.rollouts.find(rollout);
  return memory != state.rollouts.end() && memory->second.finished;
}

}  // namespace

bool RememberHalt(const std::string& digest, HaltMemory halt,
                  const IsOperator& is_operator, StateData& state) {
  if (state.halts.contains(digest)) return false;
  size_t of_rollout = 0, of_operator = 0;
  for (const auto& [other, known] : state.halts) {
    of_rollout += known.rollout_id == halt.rollout_id;
    of_operator += known.operator_key == halt.operator_key;
  }
  if (of_rollout >= kMaxHaltsOfRollout) return false;
  if (of_operator >= kMaxHaltsOfOperator || state.halts.size() >= kMaxHalts) {
    // A finished rollout never starts again: its halts say nothing any more.
    std::erase_if(state.halts, [&](const auto& one) {
      return IsFinished(state, one.second.rollout_id);
    });
    of_operator = static_cast<size_t>(std::count_if(
        state.halts.begin(), state.halts.end(), [&](const auto& one) {
          return one.second.operator_key == halt.operator_key;
        }));
  }
  if (of_operator < kMaxHaltsOfOperator && state.halts.size() < kMaxHalts) {
    if (halt.reason.size() > kMaxHaltReason) halt.reason.resize(kMaxHaltReason);
    state.halts[digest] = std::move(halt);
    return true;
  }
  std::erase_if(state.halts_all,
                [&](const std::string& key) { return !is_operator(key); });
  return state.halts_all.insert(halt.operator_key).second;
}

bool IsHalted(const StateData& state,
              const rollout::v1::RolloutDocument& document,
              const IsOperator& is_operator) {
  const auto memory = state.rollouts.find(document.id());
  if (memory != state.rollouts.end() && memory->second.conflict) return true;
  for (const auto& [digest, halt] : state.halts) {
    if (halt.rollout_id != document.id()) continue;
    const bool lifted = std::any_of(
        document.lifted_halts().begin(), document.lifted_halts().end(),
        [&, &halted = digest](const std::string& one) {
          return HexEncode(one) == halted;
        });
    if (!lifted) return true;
  }
  return std::any_of(state.halts_all.begin(), state.halts_all.end(),
                     is_operator);
}

}  // namespace shoal::agent
