// Facts that a device reports about itself.
#ifndef SHOAL_AGENT_LINK_INVENTORY_H_
#define SHOAL_AGENT_LINK_INVENTORY_H_

#include <cstdint>
#include <map>
#include <string>

#include "rules/delta_abilities.h"

namespace shoal::agent {

inline constexpr char kAgentVersion[] = "0.1.0";

// What can't be read is left out; values are printable ASCII of at most 64
// characters; some 300 bytes in a report.
//   model         device tree's model, or DMI's vendor and product
//   os            ID and VERSION_ID of os-release: "debian 12"
//   kernel, arch  of uname
//   hostname
//   memory_kb, cpus
//   disk_mb       size of the file system of `data_directory`
//   disk_free_mb  its room, to two digits: so that devices of a kind share
//                 values and the plane's index stays small
//   network       of the default route: ethernet, wifi, cellular, tunnel, none
//   slot          that runs; empty: left out
//   and what `deltas` the device can take (rules/delta_abilities.h)
// `root`: stands before every path of the system; for tests.
std::map<std::string, std::string> Inventory(
    const std::string& data_directory, const std::string& slot,
    const rules::DeltaAbilities& deltas, const std::string& root = "");

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_INVENTORY_H_
