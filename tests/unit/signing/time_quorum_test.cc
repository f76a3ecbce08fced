// Which answers of time keys make the time (T26).
#include "signing/verify/time_quorum.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::FailsBecause;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

absl::Time At(int64_t seconds) { return kNow + absl::Seconds(seconds); }

TEST(TimeQuorum, HowManyMustAgree) {
  EXPECT_EQ(TimeAnswersNeeded(1), 1u);
  EXPECT_EQ(TimeAnswersNeeded(2), 2u);
  EXPECT_EQ(TimeAnswersNeeded(3), 2u);
  EXPECT_EQ(TimeAnswersNeeded(4), 3u);
  EXPECT_EQ(TimeAnswersNeeded(50), 3u);
}

TEST(TimeQuorum, TheMedianOfThoseWhoAgree) {
  ASSERT_OK_AND_ASSIGN(absl::Time time, AgreeOnTime({At(5), At(0), At(2)}, 3));
  EXPECT_EQ(time, At(2));
  // Of two in the middle the earlier: the floor it makes never falls.
  ASSERT_OK_AND_ASSIGN(time, AgreeOnTime({At(9), At(0)}, 2));
  EXPECT_EQ(time, At(0));
  ASSERT_OK_AND_ASSIGN(time, AgreeOnTime({At(0), At(60)}, 3));
  EXPECT_EQ(time, At(0));
}

TEST(TimeQuorum, T26_ALiarOfThreeHasNoSay) {
  for (const absl::Time lie :
       {At(365 * 86400), At(-365 * 86400), absl::InfiniteFuture(),
        absl::InfinitePast(), At(61 + 4)}) {
    ASSERT_OK_AND_ASSIGN(const absl::Time time,
                         AgreeOnTime({lie, At(0), At(4)}, 3));
    EXPECT_EQ(time, At(0));
  }
}

TEST(TimeQuorum, T26_WithoutAMajorityThereIsNoTime) {
  EXPECT_THAT(AgreeOnTime({}, 3), FailsBecause("too_few_time_answers"));
  EXPECT_THAT(AgreeOnTime({At(0)}, 3), FailsBecause("too_few_time_answers"));
  EXPECT_THAT(AgreeOnTime({At(0), At(1)}, 4),
              FailsBecause("too_few_time_answers"));
  EXPECT_THAT(AgreeOnTime({At(0), At(3600)}, 3),
              FailsBecause("time_disagreement"));
  EXPECT_THAT(AgreeOnTime({At(0), At(0), At(3600), At(3600)}, 4),
              FailsBecause("time_disagreement"));
  // Three and three: nobody knows who lies.
  EXPECT_THAT(
      AgreeOnTime({At(0), At(1), At(2), At(3600), At(3601), At(3602)}, 6),
      FailsBecause("time_disagreement"));
  // A chain of small steps is no agreement either.
  EXPECT_THAT(AgreeOnTime({At(0), At(50), At(100), At(150)}, 4),
              FailsBecause("time_disagreement"));
}

}  // namespace
}  // namespace shoal::signing
