// Many watch one rollout: its progress is computed once for each change.
#include "server/api/shared_progress.h"

#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

using records::v1::OUTCOME_RESULT_SUCCESS;
using ::shoal::testing::FailsBecause;

class SharedProgressTest : public RolloutPlaneTest {};

TEST_F(SharedProgressTest, AllGetTheSameUntilSomethingChanges) {
  std::vector<TestDevice> devices;
  ActiveRollout(2, devices);
  SharedProgress shared(*store_, *rollouts_);
  ASSERT_OK_AND_ASSIGN(const auto first, shared.Of("rollouts/r1"));
  EXPECT_EQ(first->rollout.outcome_count(), 0u);
  EXPECT_EQ(first->bytes, first->rollout.SerializeAsString());
  EXPECT_EQ(*shared.Of("rollouts/r1"), first);
  ASSERT_OK(Answer(devices[0], OUTCOME_RESULT_SUCCESS, "ok", 1));
  ASSERT_OK_AND_ASSIGN(const auto second, shared.Of("rollouts/r1"));
  EXPECT_NE(second, first);
  EXPECT_EQ(second->rollout.outcome_count(), 1u);
  // A change of something else is none.
  {
    Transaction tx(*store_);
    tx.Audit("operator:ann", "test", "nothing", "ok");
    ASSERT_OK(tx.Commit());
  }
  EXPECT_EQ(*shared.Of("rollouts/r1"), second);
  EXPECT_THAT(shared.Of("rollouts/none"), FailsBecause("not_found"));
}

// A device is lost without anything being written.
TEST_F(SharedProgressTest, WhatFollowsFromTimeAloneIsSeen) {
  std::vector<TestDevice> devices;
  ActiveRollout(2, devices);
  SharedProgress shared(*store_, *rollouts_);
  ASSERT_OK_AND_ASSIGN(const auto before, shared.Of("rollouts/r1"));
  EXPECT_EQ(before->rollout.phases(0).lost(), 0u);
  clock_.Advance(absl::Hours(25));
  ASSERT_OK_AND_ASSIGN(const auto after, shared.Of("rollouts/r1"));
  EXPECT_EQ(after->rollout.phases(0).lost(), 2u);
}

}  // namespace
}  // namespace shoal::server
