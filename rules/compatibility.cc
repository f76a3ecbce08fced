#include "rules/compatibility.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "absl/strings/numbers.h"

namespace shoal::rules {
namespace {

constexpr char kHardware[] = "hardware";
constexpr char kComponent[] = "component.";

void Add(std::vector<Condition>& out, std::string name, bool met,
         std::string reason, std::string text) {
  out.push_back({std::move(name),
                 met ? Condition::State::kMet : Condition::State::kUnmet,
                 std::move(reason), std::move(text), absl::InfiniteFuture()});
}

}  // namespace

void TellParts(const DeviceParts& parts,
               std::map<std::string, std::string>& inventory) {
  if (!parts.hardware.empty()) inventory[kHardware] = parts.hardware;
  for (const auto& [name, counter] : parts.components)
    inventory[kComponent + name] = std::to_string(counter);
}

DeviceParts ReadParts(const std::map<std::string, std::string>& inventory) {
  DeviceParts parts;
  for (const auto& [key, value] : inventory) {
    if (key == kHardware) parts.hardware = value;
    uint64_t counter = 0;
    if (key.starts_with(kComponent) && absl::SimpleAtoi(value, &counter))
      parts.components[key.substr(sizeof(kComponent) - 1)] = counter;
  }
  return parts;
}

std::vector<Condition> FitConditions(const ArtifactNeeds& needs,
                                     const DeviceParts& parts) {
  std::vector<Condition> out;
  if (!needs.hardware.empty()) {
    Add(out, "hardware",
        std::find(needs.hardware.begin(), needs.hardware.end(),
                  parts.hardware) != needs.hardware.end(),
        "wrong_hardware",
        fmt::format(
            "the image is for {}, the device is {}",
            fmt::join(needs.hardware, ", "),
            parts.hardware.empty() ? "of unknown hardware" : parts.hardware));
  }
  for (const ArtifactNeed& need : needs.needs) {
    const auto found = parts.components.find(need.artifact);
    const bool has = found != parts.components.end();
    Add(out, "dependency", has && found->second >= need.min_counter,
        "dependency_unmet",
        fmt::format(
            "the image needs {} with counter {} or more, the device {}",
            need.artifact, need.min_counter,
            has ? fmt::format("has {}", found->second) : "does not have it"));
  }
  return out;
}

}  // namespace shoal::rules
