// What devices can do with deltas: said by them in their inventory, read by
// the plane, which makes deltas that they can take. What a device says is a
// wish, no right: it refuses itself whatever it cannot apply, and then takes
// the full image.
#ifndef SHOAL_RULES_DELTA_ABILITIES_H_
#define SHOAL_RULES_DELTA_ABILITIES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::rules {

// Formats as the signed index names them (Delta.mode).
inline constexpr std::string_view kSdelta1 = "sdelta1";
inline constexpr std::string_view kBsdiff40 = "bsdiff40";

// What SDELTA deltas need of a device beside memory, so that it makes the bytes
// that the maker made.
struct DeltaTools {
  uint32_t model = 0;            // version of the context model; 0: none
  std::set<std::string> codecs;  // libraries: "zlib 1.2.13"

  bool Include(const DeltaTools& needs) const;
  bool operator==(const DeltaTools&) const = default;
};

struct DeltaAbilities {
  bool sdelta1 = true;
  bool bsdiff40 = false;
  // Bytes that applying may take; unknown of agents that do not say it.
  std::optional<uint64_t> memory;
  // Of agents that do not say it: none, and what needs none they can take.
  DeltaTools tools = {};
};

// Inventory: "delta.formats" ("sdelta1 bsdiff40"), "delta.memory" (bytes),
// "delta.model" (a number), "delta.zlib" ("1.2.13"), "delta.liblzma",
// "delta.zstd", "delta.lz4" ("1.9.4 (64 bit)").
void TellDeltaAbilities(const DeltaAbilities& abilities,
                        std::map<std::string, std::string>& inventory);
// What is missing or senseless is as of a device that does not say it.
DeltaAbilities ReadDeltaAbilities(
    const std::map<std::string, std::string>& inventory);

// How to make the delta for many devices.
struct DeltaDemand {
  std::string_view format = kSdelta1;
  std::optional<uint64_t> memory;  // at most; unset: the maker's default
  DeltaTools tools;                // at most; of SDELTA only

  // True when a delta that was made serves the demand. `needs`: unset of one
  // that was made by a plane that did not note it.
  bool Serves(std::string_view made_format, uint64_t made_memory,
              const std::optional<DeltaTools>& needs) const {
    return made_format == format && (!memory || made_memory <= *memory) &&
           (format != kSdelta1 || (needs && tools.Include(*needs)));
  }
};

// Nine in ten of the devices have the memory for it, and nine in ten the tools:
// one that says it has next to nothing must not make everybody's delta large.
// `own`: what the maker's deltas may need at most. SDELTA unless most have only
// the classic format; nothing when most have neither.
std::optional<DeltaDemand> DemandOf(const std::vector<DeltaAbilities>& devices,
                                    const DeltaTools& own);
// The same for devices that are counted already: abilities and how many have
// them.
struct CountedAbilities {
  DeltaAbilities abilities;
  uint64_t devices = 0;
};
std::optional<DeltaDemand> DemandOf(
    const std::vector<CountedAbilities>& devices, const DeltaTools& own);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_DELTA_ABILITIES_H_
