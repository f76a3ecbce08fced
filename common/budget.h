// How often something may happen that others can make happen.
#ifndef SHOAL_COMMON_BUDGET_H_
#define SHOAL_COMMON_BUDGET_H_

#include <algorithm>

#include "absl/time/time.h"

namespace shoal {

// A token bucket: at most `burst` at once and `per_second` for long. Not
// thread-safe.
class Budget {
 public:
  Budget(double per_second, double burst)
      : per_second_(per_second), burst_(burst), left_(burst) {}

  // `now`: Clock::MonotonicNow. False: too often.
  bool Spend(absl::Duration now) {
    left_ = std::min(burst_,
                     left_ + absl::ToDoubleSeconds(now - last_) * per_second_);
    last_ = now;
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }

 private:
  const double per_second_;
  const double burst_;
  double left_;
  absl::Duration last_ = -absl::InfiniteDuration();
};

}  // namespace shoal

#endif  // SHOAL_COMMON_BUDGET_H_
