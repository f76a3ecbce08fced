#include "server/api/caller_quota.h"

#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace shoal::server {
namespace {

using testing::Fails;

TEST(CallerQuota, OneOperatorLeavesRoomForTheOthers) {
  CallerQuota watches("watches", 2, 3);
  std::vector<CallerQuota::Slot> slots;
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(auto slot, watches.Open("ann"));
    slots.push_back(std::move(slot));
  }
  EXPECT_THAT(watches.Open("ann"),
              Fails(absl::StatusCode::kResourceExhausted, "too_many_watches"));
  ASSERT_OK_AND_ASSIGN(auto bob, watches.Open("bob"));
  EXPECT_THAT(watches.Open("eve"),
              Fails(absl::StatusCode::kResourceExhausted, "too_many_watches"));
}

TEST(CallerQuota, AClosedWatchIsFreeAgain) {
  CallerQuota watches("watches", 1, 1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(auto slot, watches.Open("ann"));
    const CallerQuota::Slot moved = std::move(slot);
    EXPECT_FALSE(watches.Open("ann").ok());
  }
  EXPECT_OK(watches.Open("bob"));
}

}  // namespace
}  // namespace shoal::server
