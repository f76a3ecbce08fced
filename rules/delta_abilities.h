// What devices can do with deltas: said by them in their inventory, read by
// the plane, which makes deltas that they can take. What a device says is a
// wish, no right: it refuses itself whatever it cannot apply, and then takes
// the full image.
#ifndef SHOAL_RULES_DELTA_ABILITIES_H_
#define SHOAL_RULES_DELTA_ABILITIES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::rules {

// Formats as the signed index names them (Delta.mode).
inline constexpr std::string_view kSdelta1 = "sdelta1";
inline constexpr std::string_view kBsdiff40 = "bsdiff40";
bool IsDeltaFormat(std::string_view mode);

struct DeltaAbilities {
  bool sdelta1 = true;
  bool bsdiff40 = false;
  // Bytes that applying may take; unknown of agents that do not say it.
  std::optional<uint64_t> memory;
};

// Inventory: "delta.formats" ("sdelta1 bsdiff40"), "delta.memory" (bytes).
void TellDeltaAbilities(const DeltaAbilities& abilities,
                        std::map<std::string, std::string>& inventory);
// What is missing or senseless is as of a device that does not say it.
DeltaAbilities ReadDeltaAbilities(
    const std::map<std::string, std::string>& inventory);

// How to make the delta for many devices.
struct DeltaDemand {
  std::string_view format = kSdelta1;
  std::optional<uint64_t> memory;  // at most; unset: the maker's default

  // True when a delta that was made serves the demand.
  bool Serves(std::string_view made_format, uint64_t made_memory) const {
    return made_format == format && (!memory || made_memory <= *memory);
  }
};

// Nine in ten of the devices can take it: one that says it has next to nothing
// must not make everybody's delta large. SDELTA unless most have only the
// classic format; nothing when most have neither.
std::optional<DeltaDemand> DemandOf(const std::vector<DeltaAbilities>& devices);
// The same for devices that are counted already: abilities and how many have
// them.
struct CountedAbilities {
  DeltaAbilities abilities;
  uint64_t devices = 0;
};
std::optional<DeltaDemand> DemandOf(
    const std::vector<CountedAbilities>& devices);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_DELTA_ABILITIES_H_
