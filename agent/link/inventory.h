// Facts that a device reports about itself.
#ifndef SHOAL_AGENT_LINK_INVENTORY_H_
#define SHOAL_AGENT_LINK_INVENTORY_H_

#include <cstdint>
#include <map>
#include <string>

namespace shoal::agent {

inline constexpr char kAgentVersion[] = "0.1.0";

// "os", "kernel", "arch", "hostname", "memory_kb", "cpus"; what can't be read
// is left out; and what deltas the device can take (rules/delta_abilities.h),
// in at most `max_delta_memory` bytes. Values are printable ASCII of at most
// 128 characters.
std::map<std::string, std::string> Inventory(uint64_t max_delta_memory);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_INVENTORY_H_
