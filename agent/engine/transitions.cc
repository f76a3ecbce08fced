#include "agent/engine/transitions.h"

namespace shoal::agent {

std::string_view EventName(Event event) {
  switch (event) {
    case Event::kBegin:
      return "begin";
    case Event::kDone:
      return "done";
    case Event::kDeltaUnusable:
      return "delta_unusable";
    case Event::kFailed:
      return "failed";
    case Event::kWithdrawn:
      return "withdrawn";
    case Event::kSick:
      return "sick";
    case Event::kFellBack:
      return "fell_back";
  }
  return "unknown";
}

std::optional<UpdateState> NextState(UpdateState from, Event event) {
  for (const Transition& row : kTransitions)
    if (row.from == from && row.event == event) return row.to;
  return std::nullopt;
}

}  // namespace shoal::agent
