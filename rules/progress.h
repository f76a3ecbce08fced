// What the management plane does next about a published rollout. Pure: the
// driver asks it after every change and after every restart, and signs what it
// says.
#ifndef SHOAL_RULES_PROGRESS_H_
#define SHOAL_RULES_PROGRESS_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "rules/rollout.h"
#include "shoal/rollout/v1/document.pb.h"

namespace shoal::rules {

struct PlaneView {
  // By phase, of the devices that the plane knows.
  std::vector<OutcomeCount> counts;
  // Failures by phase that an operator accepted; may be shorter.
  std::vector<uint32_t> accepted_failures;
  // Operators who approved the phase behind the open one.
  std::set<std::string> approvers;
  absl::Time now;
};

struct PlaneStep {
  enum class Kind { kWait, kOpenNext, kHalt, kFinish };
  Kind kind = Kind::kWait;
  std::string message;  // for people; begins with a reason
};

// `document` is ACTIVE and as it was last signed. Halts before anything else,
// one phase at a time. kFinish with an empty message goes by numbers: as many
// as were expected at the beginning have answered for good.
PlaneStep NextStep(const rollout::v1::RolloutDocument& document,
                   const PlaneView& view);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_PROGRESS_H_
