// Every condition under which a device starts an update, or starts the image
// that it installed, one by one with the facts: what `device explain` shows.
// MayStart() and MayActivate() are the first of them that is not met.
#ifndef SHOAL_RULES_CONDITIONS_H_
#define SHOAL_RULES_CONDITIONS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "rules/rollout.h"

namespace shoal::rules {

struct Condition {
  enum class State { kMet, kUnmet, kUnknown };
  std::string name;  // what is asked for: "state", "halt", "phase", …
  State state = State::kMet;
  std::string reason;  // StartDecision's, when this is not met
  std::string text;    // with the facts
  // Not met: when it may be otherwise, if that is known.
  absl::Time retry_at = absl::InfiniteFuture();
};

// Who asks: the device, which knows all of StartInput, or the plane, to which
// the device's time of day, link, owner and tries are unknown.
enum class Viewpoint { kDevice, kPlane };

// In the order in which MayStart() asks. After a condition that makes the rest
// meaningless (another fleet's, not selected) the list ends.
std::vector<Condition> StartConditions(
    const rollout::v1::RolloutDocument& document, const StartInput& input,
    Viewpoint viewpoint = Viewpoint::kDevice);
std::vector<Condition> ActivationConditions(
    const rollout::v1::RolloutDocument& document, const StartInput& input,
    Viewpoint viewpoint = Viewpoint::kDevice);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_CONDITIONS_H_
