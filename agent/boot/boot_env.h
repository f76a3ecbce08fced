// Which file slot boots. The loader (shoal-boot) and the agent share one small
// file, DIR/boot/env, replaced atomically: at any moment it names a slot that
// holds a whole image.
//
//   committed  the slot that is known to be good
//   trial      a slot to be tried next, or none; it becomes the committed one
//              only by the agent's Commit()
//   tries_left boots that the trial still has. At 0 the loader forgets the
//              trial and boots the committed slot, without anybody's help.
//
// DIR/boot/env.copy holds the same. Where env is lost or damaged, the committed
// slot of the copy boots and a trial counts as given up.
#ifndef SHOAL_AGENT_BOOT_BOOT_ENV_H_
#define SHOAL_AGENT_BOOT_BOOT_ENV_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/files.h"

namespace shoal::agent {

// With this exit code the agent asks for a restart of the device.
inline constexpr int kRebootExitCode = 64;

struct BootEnv {
  std::string committed = "a";
  std::string trial;
  uint32_t tries_left = 0;
  uint64_t boots = 0;     // of the device's life
  std::string fell_back;  // the last trial that was given up by the loader
};

// What the loader booted: DIR/boot/running.
struct RunningSlot {
  std::string slot;
  bool trial = false;
  uint64_t boot_count = 0;
};

// "a" ↔ "b".
std::string OtherSlot(const std::string& slot);

// The files below `directory` (DIR/boot). kDataLoss "bad_boot_env" when the
// copy is of no help either.
absl::StatusOr<BootEnv> LoadBootEnv(FileSystem& fs,
                                    const std::string& directory);
absl::Status SaveBootEnv(FileSystem& fs, const std::string& directory,
                         const BootEnv& env);
// Without the file (no loader ran yet): the committed slot.
absl::StatusOr<RunningSlot> LoadRunning(FileSystem& fs,
                                        const std::string& directory);

// The loader's whole decision: picks the slot, counts a try, and writes env
// and running. Durable when it returns; power loss in between costs at most a
// try.
absl::StatusOr<RunningSlot> BootOnce(FileSystem& fs,
                                     const std::string& directory);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_BOOT_BOOT_ENV_H_
