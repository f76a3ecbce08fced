// The life of an update, as one table. The engine does what a state asks for,
// gets an event, and writes the next state to the journal before it does
// anything that relies on it. Every action may be repeated: after power loss
// the engine goes on with the state that the journal holds.
#ifndef SHOAL_AGENT_ENGINE_TRANSITIONS_H_
#define SHOAL_AGENT_ENGINE_TRANSITIONS_H_

#include <optional>
#include <span>
#include <string_view>

#include "agent/state/update_record.h"

namespace shoal::agent {

enum class Event {
  kBegin,          // the device decided that it is its turn
  kDone,           // what the state asks for is done
  kDeltaUnusable,  // wrong base, no source, patch refused: take the full image
  kFailed,         // given up before the switch
  kWithdrawn,      // its rollout ended, or another took its place
  kSick,           // the new image runs, but a component could not be
                   // installed or the health check failed
  kFellBack,       // the old image runs again: the loader or a reset did that
};
std::string_view EventName(Event event);

struct Transition {
  UpdateState from;
  Event event;
  UpdateState to;
};

// clang-format off
inline constexpr Transition kTransitions[] = {
  {UpdateState::kIdle,        Event::kBegin,         UpdateState::kFetching},

  {UpdateState::kFetching,    Event::kDone,          UpdateState::kInstalling},
  {UpdateState::kFetching,    Event::kDeltaUnusable, UpdateState::kFetching},
  {UpdateState::kFetching,    Event::kFailed,        UpdateState::kFailed},
  {UpdateState::kFetching,    Event::kWithdrawn,     UpdateState::kFailed},

  {UpdateState::kInstalling,  Event::kDone,          UpdateState::kVerifying},
  {UpdateState::kInstalling,  Event::kDeltaUnusable, UpdateState::kFetching},
  {UpdateState::kInstalling,  Event::kFailed,        UpdateState::kFailed},
  {UpdateState::kInstalling,  Event::kWithdrawn,     UpdateState::kFailed},

  {UpdateState::kVerifying,   Event::kDone,          UpdateState::kReady},
  {UpdateState::kVerifying,   Event::kDeltaUnusable, UpdateState::kFetching},
  {UpdateState::kVerifying,   Event::kFailed,        UpdateState::kFailed},
  {UpdateState::kVerifying,   Event::kWithdrawn,     UpdateState::kFailed},

  {UpdateState::kReady,       Event::kDone,          UpdateState::kRebooting},
  {UpdateState::kReady,       Event::kWithdrawn,     UpdateState::kFailed},

  {UpdateState::kRebooting,   Event::kDone,          UpdateState::kComponents},
  {UpdateState::kRebooting,   Event::kFellBack,      UpdateState::kReporting},
  {UpdateState::kRebooting,   Event::kFailed,        UpdateState::kFailed},

  {UpdateState::kComponents,  Event::kDone,          UpdateState::kChecking},
  {UpdateState::kComponents,  Event::kSick,          UpdateState::kRollingBack},
  {UpdateState::kComponents,  Event::kFellBack,      UpdateState::kRollingBack},

  {UpdateState::kChecking,    Event::kDone,          UpdateState::kCommitting},
  {UpdateState::kChecking,    Event::kSick,          UpdateState::kRollingBack},
  {UpdateState::kChecking,    Event::kFellBack,      UpdateState::kRollingBack},

  {UpdateState::kCommitting,  Event::kDone,          UpdateState::kReporting},
  {UpdateState::kCommitting,  Event::kFellBack,      UpdateState::kRollingBack},

  {UpdateState::kRollingBack, Event::kFellBack,      UpdateState::kReporting},

  {UpdateState::kFailed,      Event::kDone,          UpdateState::kReporting},

  {UpdateState::kReporting,   Event::kDone,          UpdateState::kIdle},
};
// clang-format on

// nullopt: the table has no such row, which is a programming error.
std::optional<UpdateState> NextState(UpdateState from, Event event);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_ENGINE_TRANSITIONS_H_
