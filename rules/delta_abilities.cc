#include "rules/delta_abilities.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace shoal::rules {
namespace {

constexpr char kFormats[] = "delta.formats";
constexpr char kMemory[] = "delta.memory";

// With as much the maker's own default always fits.
constexpr uint64_t kPlenty = 16u << 20;
// Below it there is no delta.
constexpr uint64_t kLeastMemory = 1u << 20;

}  // namespace

bool IsDeltaFormat(std::string_view mode) {
  return mode == kSdelta1 || mode == kBsdiff40;
}

void TellDeltaAbilities(const DeltaAbilities& abilities,
                        std::map<std::string, std::string>& inventory) {
  std::string formats;
  if (abilities.sdelta1) formats = kSdelta1;
  if (abilities.bsdiff40) {
    if (!formats.empty()) formats += ' ';
    formats += kBsdiff40;
  }
  inventory[kFormats] = formats;
  if (abilities.memory) inventory[kMemory] = std::to_string(*abilities.memory);
}

DeltaAbilities ReadDeltaAbilities(
    const std::map<std::string, std::string>& inventory) {
  DeltaAbilities abilities;
  if (const auto it = inventory.find(kFormats); it != inventory.end()) {
    abilities.sdelta1 = abilities.bsdiff40 = false;
    const std::vector<std::string> formats = absl::StrSplit(it->second, ' ');
    for (const std::string& format : formats) {
      abilities.sdelta1 |= format == kSdelta1;
      abilities.bsdiff40 |= format == kBsdiff40;
    }
  }
  uint64_t memory = 0;
  if (const auto it = inventory.find(kMemory);
      it != inventory.end() && absl::SimpleAtoi(it->second, &memory))
    abilities.memory = memory;
  return abilities;
}

std::optional<DeltaDemand> DemandOf(
    const std::vector<DeltaAbilities>& devices) {
  size_t sdelta = 0, bsdiff_only = 0;
  for (const DeltaAbilities& d : devices) {
    if (d.sdelta1) ++sdelta;
    if (!d.sdelta1 && d.bsdiff40) ++bsdiff_only;
  }
  if (sdelta + bsdiff_only == 0) return std::nullopt;
  DeltaDemand demand;
  if (bsdiff_only > sdelta) demand.format = kBsdiff40;
  std::vector<uint64_t> memories;
  for (const DeltaAbilities& d : devices) {
    const bool takes =
        demand.format == kSdelta1 ? d.sdelta1 : d.bsdiff40 && !d.sdelta1;
    if (takes) memories.push_back(d.memory.value_or(kPlenty));
  }
  std::sort(memories.begin(), memories.end());
  const uint64_t memory =
      std::max(memories[memories.size() / 10], kLeastMemory);
  if (memory < kPlenty) demand.memory = memory;
  return demand;
}

}  // namespace shoal::rules
