#include "common/clock.h"

#include <ctime>

#include "absl/time/clock.h"

namespace shoal {
namespace {
class RealClock final : public Clock {
 public:
  absl::Time WallNow() override { return absl::Now(); }
  absl::Duration MonotonicNow() override {
    timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return absl::DurationFromTimespec(ts);
  }
};
}  // namespace

Clock& SystemClock() {
  static RealClock* const clock = new RealClock;
  return *clock;
}

}  // namespace shoal
