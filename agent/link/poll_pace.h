// When a device looks up what it was not told. Devices that were powered on at
// one moment, or that one event woke, must not ask at one moment for ever
// after.
#ifndef SHOAL_AGENT_LINK_POLL_PACE_H_
#define SHOAL_AGENT_LINK_POLL_PACE_H_

#include <random>
#include <string_view>

#include "absl/time/time.h"

namespace shoal::agent {

// A poll follows the one before after 80 to 120 % of the interval: half of the
// deviation is the device's own, so that devices drift apart whatever their
// random numbers are worth; half is drawn for each poll. Times are
// Clock::MonotonicNow. One thread.
class PollPace {
 public:
  using Random = std::minstd_rand;  // small: a simulator has thousands

  // `device_id`: 16 bytes. `interval` > 0.
  PollPace(std::string_view device_id, absl::Duration interval, Random random);

  // After a start: the first poll comes within `spread`, and within the
  // interval, at a share of it that is the device's own.
  void Start(absl::Duration now, absl::Duration spread);
  // Whether a poll is due; if so, the next one is set.
  bool Due(absl::Duration now);
  absl::Duration next() const { return next_; }
  // 80 to 120 % of `duration`, drawn; for what is tried again between polls.
  absl::Duration Spread(absl::Duration duration);

 private:
  double Draw();  // [-1, 1)

  const double own_;  // [0, 1), the same after each start
  const absl::Duration interval_;
  Random random_;
  absl::Duration next_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_POLL_PACE_H_
