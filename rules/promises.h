// What a rollout's document promises, and what of it holds while no management
// plane is up. What `rollout create --dry-run` tells before the start.
#ifndef SHOAL_RULES_PROMISES_H_
#define SHOAL_RULES_PROMISES_H_

#include <string>
#include <vector>

#include "shoal/rollout/v1/document.pb.h"

namespace shoal::rules {

struct Promise {
  std::string name;   // "windows", "gate:canary", …
  bool holds = true;  // without a plane
  std::string explanation;
};

// Only of what the document asks for.
std::vector<Promise> PromisesOf(const rollout::v1::RolloutDocument& document);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_PROMISES_H_
