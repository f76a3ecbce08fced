#include "common/once_each.h"

#include <gtest/gtest.h>

namespace shoal {
namespace {

TEST(OnceEach, IsTrueOnceForEachAndForgetsAllWhenFull) {
  OnceEach seen(2);
  EXPECT_TRUE(seen.First("a"));
  EXPECT_FALSE(seen.First("a"));
  EXPECT_TRUE(seen.First("b"));
  // Full: what is known stays known until something new comes.
  EXPECT_FALSE(seen.First("a"));
  EXPECT_TRUE(seen.First("c"));
  EXPECT_FALSE(seen.Knows("a"));
  EXPECT_TRUE(seen.Knows("c"));
  seen.Forget();
  EXPECT_TRUE(seen.First("c"));
}

}  // namespace
}  // namespace shoal
