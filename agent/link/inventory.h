// Facts that a device reports about itself.
#ifndef SHOAL_AGENT_LINK_INVENTORY_H_
#define SHOAL_AGENT_LINK_INVENTORY_H_

#include <map>
#include <string>

namespace shoal::agent {

inline constexpr char kAgentVersion[] = "0.1.0";

// "os", "kernel", "arch", "hostname", "memory_kb", "cpus"; what can't be read
// is left out. Values are printable ASCII of at most 128 characters.
std::map<std::string, std::string> Inventory();

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_INVENTORY_H_
