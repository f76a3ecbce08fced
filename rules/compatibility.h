// Does an artifact fit a device? What the fw- role signed of it (hardware, what
// must be beside it) against what the device says of itself. All or none: an
// artifact whose needs are not met is not taken.
#ifndef SHOAL_RULES_COMPATIBILITY_H_
#define SHOAL_RULES_COMPATIBILITY_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "rules/conditions.h"

namespace shoal::rules {

struct ArtifactNeed {
  std::string artifact;      // a component of the device: "modem"
  uint64_t min_counter = 0;  // of what it runs
};
struct ArtifactNeeds {
  std::vector<std::string> hardware;  // one of them; none: any
  std::vector<ArtifactNeed> needs;    // all of them
};

// Inventory: "hardware" ("rev-b"), "component.NAME" (counter, decimal).
struct DeviceParts {
  std::string hardware;
  std::map<std::string, uint64_t> components;
};
void TellParts(const DeviceParts& parts,
               std::map<std::string, std::string>& inventory);
// What is senseless is as if it were not said.
DeviceParts ReadParts(const std::map<std::string, std::string>& inventory);

// "hardware" ("wrong_hardware") and one "dependency" ("dependency_unmet") for
// each need, in order; nothing that is not asked for.
std::vector<Condition> FitConditions(const ArtifactNeeds& needs,
                                     const DeviceParts& parts);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_COMPATIBILITY_H_
