// Ports that a program chooses for itself and means to have again.
#ifndef SHOAL_COMMON_PORTS_H_
#define SHOAL_COMMON_PORTS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/files.h"

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

// A port that nobody else gets as long as this lives: it is bound, and neither
// listens nor receives.
struct HeldPort {
  uint16_t number = 0;
  FileDescriptor socket;
};

// A free port of `range` at `host` (numeric, also in brackets),
// for `socket_type` SOCK_STREAM or SOCK_DGRAM: the first one from a place
// on that is this process's own, so that programs that choose one after the
// other, and bind for good later, choose differently.
// Once the whole range is taken: any port that the system gives.
// kInvalidArgument "bad_address"; ErrnoError's when nothing can be bound there.
absl::StatusOr<HeldPort> HoldFreePort(const PortRange& range,
                                      const std::string& host, int socket_type);

}  // namespace shoal

#endif  // SHOAL_COMMON_PORTS_H_
