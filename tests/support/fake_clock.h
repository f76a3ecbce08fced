// A clock that moves only when a test says so.
#ifndef SHOAL_TESTS_SUPPORT_FAKE_CLOCK_H_
#define SHOAL_TESTS_SUPPORT_FAKE_CLOCK_H_

#include <mutex>

#include "common/clock.h"

namespace shoal::testing {

// Thread-safe.
class FakeClock final : public Clock {
 public:
  // 2026-01-01T00:00:00Z unless told.
  explicit FakeClock(absl::Time wall = absl::FromUnixSeconds(1767225600))
      : wall_(wall) {}
  absl::Time WallNow() override {
    std::lock_guard lock(mutex_);
    return wall_;
  }
  absl::Duration MonotonicNow() override {
    std::lock_guard lock(mutex_);
    return monotonic_;
  }
  void Advance(absl::Duration by) {
    std::lock_guard lock(mutex_);
    wall_ += by;
    monotonic_ += by;
  }
  // Only the wall clock jumps.
  void SetWall(absl::Time wall) {
    std::lock_guard lock(mutex_);
    wall_ = wall;
  }

 private:
  std::mutex mutex_;
  absl::Time wall_;
  absl::Duration monotonic_ = absl::Seconds(1);
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_SUPPORT_FAKE_CLOCK_H_
