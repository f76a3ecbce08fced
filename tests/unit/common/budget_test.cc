#include "common/budget.h"

#include <gtest/gtest.h>

namespace shoal {
namespace {

int Spent(Budget& budget, absl::Duration now) {
  int spent = 0;
  while (budget.Spend(now)) ++spent;
  return spent;
}

TEST(Budget, ABurstAndThenARate) {
  Budget budget(2, 10);
  EXPECT_EQ(Spent(budget, absl::Seconds(5)), 10);
  EXPECT_EQ(Spent(budget, absl::Seconds(6)), 2);
  EXPECT_EQ(Spent(budget, absl::Seconds(6)), 0);
  EXPECT_EQ(Spent(budget, absl::Hours(1)), 10);
}

TEST(Budget, LessThanOneASecond) {
  Budget budget(1.0 / 60, 1);
  EXPECT_EQ(Spent(budget, absl::ZeroDuration()), 1);
  EXPECT_EQ(Spent(budget, absl::Seconds(59)), 0);
  EXPECT_EQ(Spent(budget, absl::Seconds(61)), 1);
}

}  // namespace
}  // namespace shoal
