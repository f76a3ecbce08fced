#include "rules/delta_abilities.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace shoal::rules {
namespace {

constexpr char kFormats[] = "delta.formats";
constexpr char kMemory[] = "delta.memory";
constexpr char kModel[] = "delta.model";
// "delta." and one of these holds what follows it in the library's name.
constexpr std::string_view kLibraries[] = {"zlib", "liblzma", "zstd", "lz4"};

// With as much the maker's own default always fits.
constexpr uint64_t kPlenty = 16u << 20;
// Below it there is no delta.
constexpr uint64_t kLeastMemory = 1u << 20;

std::string KeyOf(std::string_view library) {
  return "delta." + std::string(library);
}

// The most tools that nine in ten of the devices have all of. `counted` by
// tools.
DeltaTools Common(const std::vector<std::pair<DeltaTools, uint64_t>>& counted,
                  DeltaTools tools) {
  for (;;) {
    uint64_t all = 0, lacking = 0, without_model = 0;
    std::map<std::string, uint64_t> without;  // codec → devices
    for (const auto& [has, count] : counted) {
      all += count;
      if (has.Include(tools)) continue;
      lacking += count;
      if (tools.model != 0 && has.model != tools.model) without_model += count;
      for (const std::string& codec : tools.codecs)
        if (!has.codecs.contains(codec)) without[codec] += count;
    }
    if (lacking <= all / 10) return tools;
    // What most of them lack is left out, then looked again.
    const auto worst = std::max_element(
        without.begin(), without.end(),
        [](const auto& a, const auto& b) { return a.second < b.second; });
    if (worst == without.end() || without_model >= worst->second)
      tools.model = 0;
    else
      tools.codecs.erase(worst->first);
  }
}

}  // namespace

bool DeltaTools::Include(const DeltaTools& needs) const {
  return (needs.model == 0 || needs.model == model) &&
         std::includes(codecs.begin(), codecs.end(), needs.codecs.begin(),
                       needs.codecs.end());
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
  if (abilities.tools.model != 0)
    inventory[kModel] = std::to_string(abilities.tools.model);
  for (const std::string_view library : kLibraries) {
    for (const std::string& codec : abilities.tools.codecs) {
      const auto [name, version] = std::pair<std::string, std::string>(
          absl::StrSplit(codec, absl::MaxSplits(' ', 1)));
      // Of two the longer one, from which the other follows.
      if (name != library) continue;
      std::string& told = inventory[KeyOf(library)];
      if (version.size() > told.size()) told = version;
    }
  }
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
  if (const auto it = inventory.find(kModel);
      it == inventory.end() ||
      !absl::SimpleAtoi(it->second, &abilities.tools.model))
    abilities.tools.model = 0;
  for (const std::string_view library : kLibraries) {
    const auto it = inventory.find(KeyOf(library));
    if (it == inventory.end() || it->second.empty()) continue;
    std::string codec = std::string(library) + " " + it->second;
    // What stands in parentheses matters to some uses of the library only.
    if (const size_t detail = codec.find(" ("); detail != codec.npos)
      abilities.tools.codecs.insert(codec.substr(0, detail));
    abilities.tools.codecs.insert(std::move(codec));
  }
  return abilities;
}

std::optional<DeltaDemand> DemandOf(const std::vector<DeltaAbilities>& devices,
                                    const DeltaTools& own) {
  std::vector<CountedAbilities> counted;
  for (const DeltaAbilities& abilities : devices)
    counted.push_back({abilities, 1});
  return DemandOf(counted, own);
}

std::optional<DeltaDemand> DemandOf(
    const std::vector<CountedAbilities>& devices, const DeltaTools& own) {
  uint64_t sdelta = 0, bsdiff_only = 0;
  for (const auto& [abilities, count] : devices) {
    if (abilities.sdelta1) sdelta += count;
    if (!abilities.sdelta1 && abilities.bsdiff40) bsdiff_only += count;
  }
  if (sdelta + bsdiff_only == 0) return std::nullopt;
  DeltaDemand demand;
  if (bsdiff_only > sdelta) demand.format = kBsdiff40;
  std::map<uint64_t, uint64_t> memories;  // bytes → devices
  std::vector<std::pair<DeltaTools, uint64_t>> tools;
  uint64_t all = 0;
  for (const auto& [abilities, count] : devices) {
    const bool takes = demand.format == kSdelta1
                           ? abilities.sdelta1
                           : abilities.bsdiff40 && !abilities.sdelta1;
    if (!takes) continue;
    memories[abilities.memory.value_or(kPlenty)] += count;
    tools.emplace_back(abilities.tools, count);
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
  if (demand.format == kSdelta1) demand.tools = Common(tools, own);
  return demand;
}

}  // namespace shoal::rules
