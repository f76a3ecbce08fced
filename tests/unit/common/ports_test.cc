#include "common/ports.h"

#include <sys/socket.h>

#include <set>
#include <vector>

#include "tests/support/status_matchers.h"

namespace shoal {
namespace {

using shoal::testing::FailsBecause;

TEST(HoldFreePort, GivesAPortOfTheRangeAndNeverOneTwice) {
  // Small, so that the second one meets the first.
  constexpr PortRange kRange = {27321, 8};
  std::vector<HeldPort> held;
  std::set<int> numbers;
  for (int i = 0; i < 4; ++i) {
    ASSERT_OK_AND_ASSIGN(HeldPort port,
                         HoldFreePort(kRange, "127.0.0.1", SOCK_STREAM));
    EXPECT_GE(port.number, kRange.first);
    EXPECT_LT(port.number, kRange.first + kRange.count);
    EXPECT_TRUE(numbers.insert(port.number).second);
    held.push_back(std::move(port));
  }
}

TEST(HoldFreePort, AFullRangeFallsBackToTheSystemsChoice) {
  constexpr PortRange kRange = {27337, 1};
  ASSERT_OK_AND_ASSIGN(const HeldPort first,
                       HoldFreePort(kRange, "127.0.0.1", SOCK_DGRAM));
  ASSERT_OK_AND_ASSIGN(const HeldPort second,
                       HoldFreePort(kRange, "127.0.0.1", SOCK_DGRAM));
  EXPECT_NE(second.number, 0);
  EXPECT_NE(second.number, first.number);
}

TEST(HoldFreePort, TwoCallsBeginAtDifferentPlaces) {
  // Each port is free again when the next one is chosen.
  std::set<int> numbers;
  for (int i = 0; i < 8; ++i) {
    ASSERT_OK_AND_ASSIGN(const HeldPort port,
                         HoldFreePort(kNodePorts, "127.0.0.1", SOCK_STREAM));
    numbers.insert(port.number);
  }
  // One that is taken makes two of them the same.
  EXPECT_GT(numbers.size(), 4u);
}

TEST(HoldFreePort, NamesWhatIsNoAddress) {
  EXPECT_THAT(HoldFreePort(kNodePorts, "no such host", SOCK_STREAM),
              FailsBecause("bad_address"));
  // Of the documentation's range: nobody's here.
  EXPECT_FALSE(HoldFreePort(kNodePorts, "192.0.2.1", SOCK_STREAM).ok());
  EXPECT_OK(HoldFreePort(kNodePorts, "[::1]", SOCK_STREAM));
}

}  // namespace
}  // namespace shoal
