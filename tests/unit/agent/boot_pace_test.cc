#include "agent/boot/boot_pace.h"

#include <gtest/gtest.h>

namespace shoal::agent {
namespace {

TEST(BootPace, WaitsLongerAfterEachResetAndBeginsAnewAfterAGoodRun) {
  BootPace pace;
  absl::Duration last;
  for (int i = 0; i < 20; ++i) {
    const absl::Duration pause = pace.After(absl::Milliseconds(5), false);
    EXPECT_GE(pause, last);
    last = pause;
  }
  EXPECT_EQ(last, absl::Seconds(30));
  EXPECT_EQ(pace.After(absl::Minutes(2), false), absl::Milliseconds(200));
}

TEST(BootPace, ARestartThatWasAskedForIsFreeButNotForEver) {
  BootPace pace;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(pace.After(absl::Seconds(1), true), absl::ZeroDuration());
  absl::Duration last;
  for (int i = 0; i < 20; ++i) last = pace.After(absl::Seconds(1), true);
  EXPECT_EQ(last, absl::Seconds(30));
}

}  // namespace
}  // namespace shoal::agent
