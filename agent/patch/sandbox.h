// The sandbox of shoal-patch (T35): entered before the first byte of a patch
// is read. Afterwards the process can read its three descriptors, write the
// new slot and its answers, get and give back memory, and end; any other
// system call kills it.
#ifndef SHOAL_AGENT_PATCH_SANDBOX_H_
#define SHOAL_AGENT_PATCH_SANDBOX_H_

#include <cstdint>

#include "absl/status/status.h"

namespace shoal::agent {

inline constexpr int kPatchFd = 3;
inline constexpr int kOldSlotFd = 4;
inline constexpr int kNewSlotFd = 5;
inline constexpr unsigned kNobody = 65534;

struct SandboxOptions {
  // Bytes of address space beyond what the program has now.
  uint64_t max_memory = 8u << 20;
};

// Closes every descriptor but 1, 2 and the three above; becomes nobody when
// started as root; drops all capabilities with that; forbids new privileges;
// limits memory, descriptors and core dumps; installs the seccomp filter.
// Cannot be undone. On an error ("sandbox_failed") the process must end
// without touching the patch. Only in a process with one thread.
absl::Status EnterSandbox(const SandboxOptions& options);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_PATCH_SANDBOX_H_
