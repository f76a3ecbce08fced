#include "agent/link/poll_pace.h"

#include <algorithm>
#include <vector>

#include "common/crypto/hash.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace shoal::agent {
namespace {

constexpr absl::Duration kInterval = absl::Minutes(15);

std::string Id(int n) {
  return crypto::Sha256Digest(std::to_string(n)).substr(0, 16);
}

TEST(PollPaceTest, EachPollFollowsWithinTheBounds) {
  for (int device = 0; device < 50; ++device) {
    testing::FakeClock clock;
    PollPace pace(Id(device), kInterval, PollPace::Random(7));
    pace.Start(clock.MonotonicNow(), absl::ZeroDuration());
    ASSERT_TRUE(pace.Due(clock.MonotonicNow()));
    for (int poll = 0; poll < 50; ++poll) {
      const absl::Duration wait = pace.next() - clock.MonotonicNow();
      EXPECT_GE(wait, kInterval * 0.8);
      EXPECT_LE(wait, kInterval * 1.2);
      clock.Advance(wait - absl::Seconds(1));
      EXPECT_FALSE(pace.Due(clock.MonotonicNow()));
      clock.Advance(absl::Seconds(1));
      EXPECT_TRUE(pace.Due(clock.MonotonicNow()));
    }
  }
}

// The share of `devices` that ask in the busiest second of an hour, a day
// after all of them were switched on together.
double BusiestSecond(int devices, bool one_seed) {
  std::vector<int> asked(3600);
  for (int device = 0; device < devices; ++device) {
    PollPace pace(
        Id(device), kInterval,
        PollPace::Random(one_seed ? 7u : static_cast<unsigned>(device + 1)));
    pace.Start(absl::ZeroDuration(), absl::ZeroDuration());
    absl::Duration now;
    for (; now < absl::Hours(25); now = pace.next()) {
      EXPECT_TRUE(pace.Due(now));
      if (now >= absl::Hours(24))
        ++asked[static_cast<size_t>(
            absl::ToInt64Seconds(now - absl::Hours(24)))];
    }
  }
  return static_cast<double>(*std::max_element(asked.begin(), asked.end())) /
         devices;
}

TEST(PollPaceTest, DevicesThatStartTogetherDoNotAskTogether) {
  // Evenly spread it were 1 / 900.
  EXPECT_LT(BusiestSecond(2000, false), 0.01);
  // A fleet of one image may draw the same random numbers everywhere.
  EXPECT_LT(BusiestSecond(2000, true), 0.02);
}

TEST(PollPaceTest, TheFirstPollIsSpreadTheSameWayAtEachStart) {
  std::vector<double> shares;
  for (int device = 0; device < 1000; ++device) {
    PollPace pace(Id(device), kInterval, PollPace::Random(1));
    PollPace again(Id(device), kInterval, PollPace::Random(2));
    pace.Start(absl::Hours(1), absl::Seconds(30));
    again.Start(absl::Hours(1), absl::Seconds(30));
    EXPECT_EQ(pace.next(), again.next());
    shares.push_back(
        absl::FDivDuration(pace.next() - absl::Hours(1), absl::Seconds(30)));
  }
  std::sort(shares.begin(), shares.end());
  EXPECT_GE(shares.front(), 0);
  EXPECT_LT(shares.back(), 1);
  for (size_t tenth = 1; tenth < 10; ++tenth)
    EXPECT_NEAR(shares[tenth * 100], static_cast<double>(tenth) / 10, 0.06);
}

TEST(PollPaceTest, TheSpreadEndsWithTheInterval) {
  for (int device = 0; device < 50; ++device) {
    PollPace pace(Id(device), absl::Seconds(1), PollPace::Random(1));
    pace.Start(absl::ZeroDuration(), absl::Minutes(5));
    EXPECT_LE(pace.next(), absl::Seconds(1));
  }
}

}  // namespace
}  // namespace shoal::agent
