// What a device remembers of halts: every one counts, and no operator's key,
// stolen or not, fills the device's state with them.
#ifndef SHOAL_AGENT_ENGINE_HALTS_H_
#define SHOAL_AGENT_ENGINE_HALTS_H_

#include <cstddef>
#include <functional>
#include <string>

#include "agent/state/device_state.h"
#include "shoal/rollout/v1/document.pb.h"

namespace shoal::agent {

// A document lifts 64 halts at most: with more, its rollout is over for good,
// whichever they are.
inline constexpr size_t kMaxHaltsOfRollout = 65;
// Of one operator, of rollouts that this device has not finished.
inline constexpr size_t kMaxHaltsOfOperator = 512;
inline constexpr size_t kMaxHalts = 2048;
// Bytes of a halt's reason: the state is read back as a whole, 4 MiB at most.
inline constexpr size_t kMaxHaltReason = 100;

// Whether the policy in force names the operator of this key (hex) and does not
// revoke it.
using IsOperator = std::function<bool(const std::string& operator_key)>;

// Remembers a halt under the hex SHA-256 of its record. One that an operator
// has no room for any more is not forgotten but stands for all: every rollout
// is halted for as long as the policy names that operator. False: `state` is
// what it was.
bool RememberHalt(const std::string& digest, HaltMemory halt,
                  const IsOperator& is_operator, StateData& state);

// True when a halt stands that `document` does not lift, two documents with one
// version were seen, or an operator halted more than is remembered.
bool IsHalted(const StateData& state,
              const rollout::v1::RolloutDocument& document,
              const IsOperator& is_operator);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_ENGINE_HALTS_H_
