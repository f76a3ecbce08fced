#include "sim/account.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace shoal::sim {
namespace {

using testing::Fails;

TEST(Account, IsWhatTheToolPrints) {
  const auto account = ParseAccount(R"({
    "name": "rollouts/sim", "state": "ROLLOUT_STATE_FINISHED", "news": 1,
    "phases": [{"name": "p1", "expected": 2, "succeeded": 1, "failed": 1}],
    "outcomes": [
      {"device": "devices/00112233445566778899aabbccddeeff", "success": true,
       "running_sha256": "abcd", "phase": 0},
      {"device": "devices/10112233445566778899aabbccddeeff",
       "running_sha256": "", "phase": 1},
      {"device": "devices/00112233445566778899aabbccddeeff"}]})");
  ASSERT_OK(account);
  EXPECT_EQ(account->state, "ROLLOUT_STATE_FINISHED");
  ASSERT_EQ(account->phases.size(), 1u);
  EXPECT_EQ(account->phases[0].expected, 2u);
  EXPECT_EQ(account->phases[0].failed, 1u);
  ASSERT_EQ(account->outcomes.size(), 2u);
  EXPECT_EQ(account->repeated, 1);
  EXPECT_TRUE(account->outcomes.begin()->second.success);
  EXPECT_EQ(account->outcomes.begin()->second.running_sha256, "\xab\xcd");
}

TEST(Account, WhatIsNoRolloutIsRefused) {
  for (const char* text : {"", "{}", "[]", "{\"name\": 3}", "not found"})
    EXPECT_THAT(ParseAccount(text).status(),
                Fails(absl::StatusCode::kInvalidArgument, "bad_account"))
        << text;
}

}  // namespace
}  // namespace shoal::sim
