// Ports that a program chooses for itself and means to have again.
#ifndef SHOAL_COMMON_PORTS_H_
#define SHOAL_COMMON_PORTS_H_

namespace shoal {

struct PortRange {
  int first;
  int count;
};

// Below those that Linux gives to outgoing connections (from 32768 on by
// default): one of those may be somebody else's when the program starts again.
// Apart, since shoal-node names its ports before it runs: a shoald of the same
// machine that starts meanwhile must not have one.
inline constexpr PortRange kPlanePorts = {10240, 2048};
inline constexpr PortRange kNodePorts = {12288, 32768 - 12288};

}  // namespace shoal

#endif  // SHOAL_COMMON_PORTS_H_
