// The only source of time. Tests pass tests/support/fake_clock.h.
#ifndef SHOAL_COMMON_CLOCK_H_
#define SHOAL_COMMON_CLOCK_H_

#include "absl/time/time.h"

namespace shoal {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Civil time of this machine; may be wrong and may jump either way. What
  // decides about trust uses signing's persisted floor on top of it.
  virtual absl::Time WallNow() = 0;
  // Never jumps; counts from an unspecified point; for time-outs and pacing.
  virtual absl::Duration MonotonicNow() = 0;
};

// The system's clocks. Lives as long as the program.
Clock& SystemClock();

}  // namespace shoal

#endif  // SHOAL_COMMON_CLOCK_H_
