#include "agent/patch/heartbeat.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/fake_clock.h"

namespace shoal::agent {
namespace {

// Steps of ten seconds each, as of a card that is dying.
TEST(HeartbeatTest, BeatsWithEachSlowStepAndOncePerIntervalOfFastOnes) {
  testing::FakeClock clock;
  std::vector<uint64_t> said;
  Heartbeat heart(clock, [&](uint64_t written) { said.push_back(written); });
  heart.Beat();
  EXPECT_TRUE(said.empty()) << "before it began";
  heart.Begin(0);
  for (int i = 0; i < 30; ++i) {
    clock.Advance(absl::Seconds(10));
    heart.Beat();
  }
  EXPECT_EQ(said, std::vector<uint64_t>(30, 0));
  heart.Written(5);
  EXPECT_EQ(said.back(), 5u) << "at once";
  for (int i = 0; i < 1000; ++i) {
    clock.Advance(absl::Milliseconds(1));
    heart.Beat();
    heart.Written(6);
  }
  EXPECT_EQ(said.size(), 41u);
  EXPECT_EQ(said.back(), 6u);
}

}  // namespace
}  // namespace shoal::agent
