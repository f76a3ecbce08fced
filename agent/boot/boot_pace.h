// How long the loader waits before it boots again, so that an agent which ends
// at once, again and again, wears out neither processor nor flash.
#ifndef SHOAL_AGENT_BOOT_BOOT_PACE_H_
#define SHOAL_AGENT_BOOT_BOOT_PACE_H_

#include <algorithm>

#include "absl/time/time.h"

namespace shoal::agent {

class BootPace {
 public:
  // To be called after each run of the agent, which lasted `ran`. `asked`: it
  // asked for the restart, as it does to try an image: the first three of
  // those in a row cost nothing. After a reset 200 ms, doubling to 30 s; a run
  // of a minute or more begins anew.
  absl::Duration After(absl::Duration ran, bool asked) {
    if (ran >= absl::Minutes(1)) resets_ = asks_ = 0;
    if (asked && ++asks_ <= 3) return absl::ZeroDuration();
    return std::min(absl::Seconds(30),
                    absl::Milliseconds(200) * (1 << std::min(resets_++, 8)));
  }

 private:
  int resets_ = 0;
  int asks_ = 0;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_BOOT_BOOT_PACE_H_
