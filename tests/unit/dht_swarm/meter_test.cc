#include "dht/swarm/fetch/meter.h"

#include <gtest/gtest.h>

namespace shoal::dht {
namespace {

constexpr absl::Duration kStall = absl::Seconds(3);

TEST(Meter, T10_NothingForTheStallTimeIsTooSlow) {
  Meter meter;
  meter.Restart(absl::Seconds(100));
  meter.Update(absl::Seconds(102), 0);
  EXPECT_FALSE(meter.TooSlow(absl::Seconds(102), kStall, 0));
  EXPECT_TRUE(meter.TooSlow(absl::Seconds(103), kStall, 0));
  meter.Update(absl::Seconds(103), 1);
  EXPECT_FALSE(meter.TooSlow(absl::Seconds(105), kStall, 0));
  EXPECT_TRUE(meter.TooSlow(absl::Seconds(106), kStall, 0));
}

TEST(Meter, T10_ATrickleIsTooSlowAfterTheWindow) {
  Meter meter;
  absl::Duration now = absl::Seconds(1);
  meter.Restart(now);
  uint64_t bytes = 0;
  bool slow = false;
  for (int i = 0; i < 60 && !slow; ++i) {
    now += absl::Milliseconds(200);
    bytes += 20;  // 100 bytes a second
    meter.Update(now, bytes);
    slow = meter.TooSlow(now, kStall, 1024);
    EXPECT_FALSE(meter.TooSlow(now, kStall, 50));
  }
  EXPECT_TRUE(slow);
  EXPECT_GE(now, absl::Seconds(11));
  EXPECT_LE(now, absl::Seconds(12));
}

TEST(Meter, T44_BytesThatComeAgainAreNoProgress) {
  Meter meter;
  absl::Duration now = absl::Seconds(1);
  meter.Restart(now);
  // A poisoner: the count climbs to 64 and falls back each time.
  for (int i = 0; i < 32; ++i) {
    now += absl::Milliseconds(100);
    meter.Update(now, (i % 4) * 16);
  }
  EXPECT_TRUE(meter.TooSlow(now, absl::Seconds(2), 0));
}

}  // namespace
}  // namespace shoal::dht
