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
  std::vector<CountedAbilities> counted;
  for (const DeltaAbilities& abilities : devices)
    counted.push_back({abilities, 1});
  return DemandOf(counted);
}

std::optional<DeltaDemand> DemandOf(
    const std::vector<CountedAbilities>& devices) {
  uint64_t sdelta = 0, bsdiff_only = 0;
  for (const auto& [abilities, count] : devices) {
    if (abilities.sdelta1) sdelta += count;
    if (!abilities.sdelta1 && abilities.bsdiff40) bsdiff_only += count;
  }
  if (sdelta + bsdiff_only == 0) return std::nullopt;
  DeltaDemand demand;
  if (bsdiff_only > sdelta) demand.format = kBsdiff40;
  std::map<uint64_t, uint64_t> memories;  // bytes → devices
  uint64_t all = 0;
  for (const auto& [abilities, count] : devices) {
    const bool takes = demand.format == kSdelta1
                           ? abilities.sdelta1
                           : abilities.bsdiff40 && !abilities.sdelta1;
    if (!takes) continue;
    memories[abilities.memory.value_or(kPlenty)] += count;
    all += count;
  }
  // The one behind a tenth of them, counted from the smallest.
  uint64_t memory = kPlenty;
  uint64_t passed = 0;
  for (const auto& [bytes, count] : memories) {
    memory = bytes;
    if ((passed += count) > all / 10) break;
  }
  memory = std::max(memory, kLeastMemory);
  if (memory < kPlenty) demand.memory = memory;
  return demand;
}

}  // namespace shoal::rules
