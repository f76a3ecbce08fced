#include "rules/compatibility.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "absl/strings/numbers.h"

namespace shoal::rules {
namespace {

constexpr char kHardware[] = "hardware";
constexpr char kComponent[] = "component.";
constexpr char kInstalls[] = "installs.";
constexpr char kImage[] = "image";

bool Fits(const std::vector<std::string>& hardware, const std::string& mine) {
  return hardware.empty() ||
         std::find(hardware.begin(), hardware.end(), mine) != hardware.end();
}

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
  for (const std::string& name : parts.installs)
    inventory[kInstalls + name] = "agent";
}

DeviceParts ReadParts(const std::map<std::string, std::string>& inventory) {
  DeviceParts parts;
  for (const auto& [key, value] : inventory) {
    if (key == kHardware) parts.hardware = value;
    uint64_t counter = 0;
    if (key.starts_with(kComponent) && absl::SimpleAtoi(value, &counter))
      parts.components[key.substr(sizeof(kComponent) - 1)] = counter;
    if (key.starts_with(kInstalls))
      parts.installs.insert(key.substr(sizeof(kInstalls) - 1));
  }
  return parts;
}

std::vector<Condition> FitConditions(const ArtifactNeeds& needs,
                                     const DeviceParts& parts,
                                     const std::string& artifact) {
  std::vector<Condition> out;
  if (!needs.hardware.empty()) {
    Add(out, "hardware", Fits(needs.hardware, parts.hardware), "wrong_hardware",
        fmt::format(
            "the {} is for {}, the device is {}", artifact,
            fmt::join(needs.hardware, ", "),
            parts.hardware.empty() ? "of unknown hardware" : parts.hardware));
  }
  for (const ArtifactNeed& need : needs.needs) {
    const auto found = parts.components.find(need.artifact);
    const bool has = found != parts.components.end();
    Add(out, "dependency", has && found->second >= need.min_counter,
        "dependency_unmet",
        fmt::format(
            "the {} needs {} with counter {} or more, the device {}", artifact,
            need.artifact, need.min_counter,
            has ? fmt::format("has {}", found->second) : "does not have it"));
  }
  return out;
}

bool Brings(const DeviceParts& parts, const ReleaseArtifact& artifact) {
  if (!parts.installs.contains(artifact.name) ||
      !Fits(artifact.needs.hardware, parts.hardware))
    return false;
  const auto runs = parts.components.find(artifact.name);
  return runs == parts.components.end() || runs->second < artifact.counter;
}

DeviceParts PartsAfter(DeviceParts parts,
                       const std::vector<ReleaseArtifact>& release) {
  std::map<std::string, uint64_t> after = parts.components;
  for (const ReleaseArtifact& artifact : release)
    if (artifact.name == kImage || Brings(parts, artifact))
      after[artifact.name] = artifact.counter;
  parts.components = std::move(after);
  return parts;
}

std::vector<Condition> ReleaseConditions(
    const DeviceParts& parts, const std::vector<ReleaseArtifact>& release) {
  const DeviceParts after = PartsAfter(parts, release);
  std::vector<Condition> out;
  for (const ReleaseArtifact& artifact : release) {
    if (artifact.name != kImage && !Brings(parts, artifact)) continue;
    for (Condition& one : FitConditions(artifact.needs, after, artifact.name))
      out.push_back(std::move(one));
  }
  return out;
}

}  // namespace shoal::rules
