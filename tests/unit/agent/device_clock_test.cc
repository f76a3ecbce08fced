// What the device takes for the time (T26).
#include "agent/state/device_clock.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace shoal::agent {
namespace {

using ::shoal::testing::FakeClock;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

TEST(DeviceClock, ARightClockIsUsedAsItIs) {
  FakeClock machine(kNow);
  DeviceClock clock(machine);
  clock.RaiseFloor(kNow - absl::Hours(24));
  EXPECT_EQ(clock.WallNow(), kNow);
  clock.Take(kNow + absl::Seconds(20), clock.MonotonicNow());
  EXPECT_EQ(clock.WallNow(), kNow);
  EXPECT_EQ(clock.source(), ClockSource::kMachine);
  EXPECT_TRUE(clock.trustworthy());
}

TEST(DeviceClock, T26_AClockThatWasNeverSetIsKnownToBeWrong) {
  FakeClock machine(absl::UnixEpoch());
  DeviceClock clock(machine);
  EXPECT_EQ(clock.source(), ClockSource::kFloor);
  EXPECT_FALSE(clock.trustworthy());
  EXPECT_GT(clock.WallNow(), absl::FromUnixSeconds(1'735'000'000));
}

TEST(DeviceClock, T26_TimeNeverFallsBelowTheFloorAndGoesOnFromIt) {
  FakeClock machine(absl::UnixEpoch());
  DeviceClock clock(machine);
  clock.RaiseFloor(kNow);
  clock.RaiseFloor(kNow - absl::Hours(1));  // ignored
  EXPECT_EQ(clock.WallNow(), kNow);
  machine.Advance(absl::Minutes(5));
  EXPECT_EQ(clock.WallNow(), kNow + absl::Minutes(5));
  EXPECT_FALSE(clock.trustworthy());
}

TEST(DeviceClock, T26_TheNodesCorrectAClockInThePastAndInTheFuture) {
  for (const absl::Time wrong :
       {absl::UnixEpoch(), kNow - absl::Hours(2), kNow + absl::Hours(9999)}) {
    FakeClock machine(wrong);
    DeviceClock clock(machine);
    clock.Take(kNow, clock.MonotonicNow());
    machine.Advance(absl::Minutes(1));
    EXPECT_EQ(clock.WallNow(), kNow + absl::Minutes(1));
    EXPECT_EQ(clock.source(), ClockSource::kNodes);
    EXPECT_TRUE(clock.trustworthy());
    // The machine's clock is set, by whomever: right enough to be used.
    machine.SetWall(kNow + absl::Seconds(70));
    EXPECT_EQ(clock.source(), ClockSource::kMachine);
  }
}

TEST(DeviceClock, T26_NodesThatAgreeOnAnEarlierTimeDoNotLowerTheFloor) {
  FakeClock machine(absl::UnixEpoch());
  DeviceClock clock(machine);
  clock.RaiseFloor(kNow);
  clock.Take(kNow - absl::Hours(24 * 30), clock.MonotonicNow());
  EXPECT_EQ(clock.WallNow(), kNow);
  EXPECT_FALSE(clock.trustworthy());
}

// The answer that made the floor was a little ahead of the machine's clock;
// after a restart without a network that is no reason for distrust.
TEST(DeviceClock, AFloorALittleAheadOfTheClockIsNoFault) {
  FakeClock machine(kNow);
  DeviceClock clock(machine);
  clock.RaiseFloor(kNow + absl::Seconds(50));
  EXPECT_EQ(clock.WallNow(), kNow + absl::Seconds(50));
  EXPECT_TRUE(clock.trustworthy());
}

}  // namespace
}  // namespace shoal::agent
