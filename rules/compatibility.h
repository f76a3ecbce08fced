// Does an artifact fit a device? What the fw- role signed of it (hardware, what
// must be beside it) against what the device says of itself. All or none: an
// artifact whose needs are not met is not taken.
#ifndef SHOAL_RULES_COMPATIBILITY_H_
#define SHOAL_RULES_COMPATIBILITY_H_

#include <cstdint>
#include <map>
#include <set>
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

// Inventory: "hardware" ("rev-b"), "component.NAME" (counter, decimal),
// "installs.NAME" ("agent").
struct DeviceParts {
  std::string hardware;
  std::map<std::string, uint64_t> components = {};
  // Those that the device brings up itself, together with its image.
  std::set<std::string> installs = {};
};
void TellParts(const DeviceParts& parts,
               std::map<std::string, std::string>& inventory);
// What is senseless is as if it were not said.
DeviceParts ReadParts(const std::map<std::string, std::string>& inventory);

// "hardware" ("wrong_hardware") and one "dependency" ("dependency_unmet") for
// each need, in order; nothing that is not asked for. `artifact`: whose needs,
// for the text.
std::vector<Condition> FitConditions(const ArtifactNeeds& needs,
                                     const DeviceParts& parts,
                                     const std::string& artifact = "image");

// One artifact of a release.
struct ReleaseArtifact {
  std::string name;  // "image", "modem"
  uint64_t counter = 0;
  ArtifactNeeds needs;
};
// Would the device bring it up together with the image? What it installs
// itself, made for its hardware, and newer than what it runs: a component goes
// forward only.
bool Brings(const DeviceParts& parts, const ReleaseArtifact& artifact);
// What the device has when all of the release that is for it is installed.
DeviceParts PartsAfter(DeviceParts parts,
                       const std::vector<ReleaseArtifact>& release);
// FitConditions of the image and of what comes with it, against PartsAfter.
std::vector<Condition> ReleaseConditions(
    const DeviceParts& parts, const std::vector<ReleaseArtifact>& release);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_COMPATIBILITY_H_
