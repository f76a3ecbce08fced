#include "server/cli/rollout_view.h"

#include <gtest/gtest.h>

#include "server/cli/rollout_watch.h"
#include "tests/support/status_matchers.h"

namespace shoal::cli {
namespace {

using testing::FailsBecause;

rollout::v1::Rollout Example() {
  rollout::v1::Rollout rollout;
  rollout.set_name("rollouts/r-1");
  rollout.set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
  rollout.mutable_document()->set_device_type("gateway");
  rollout.mutable_document()->mutable_release()->set_version("1.4.0");
  rollout.set_published_at(1767225600000);
  auto* canary = rollout.add_phases();
  canary->set_name("canary");
  canary->set_expected(2);
  canary->set_succeeded(1);
  canary->set_failed(1);
  canary->set_open(true);
  auto* all = rollout.add_phases();
  all->set_name("all");
  all->set_expected(10);
  auto* outcome = rollout.add_outcomes();
  outcome->set_device("devices/00ff");
  outcome->set_reason("health_failed");
  outcome->set_message("modem\x1b[2J");
  rollout.mutable_deltas()->set_wanted(2);
  rollout.mutable_deltas()->set_made(2);
  rollout.mutable_deltas()->set_bytes(1500);
  rollout.mutable_deltas()->set_mirrors(3);
  rollout.mutable_deltas()->set_mirrors_wanted(2);
  return rollout;
}

TEST(DescribeRollout, ShowsPhasesAndFailures) {
  EXPECT_EQ(DescribeRollout(Example()),
            "rollout    r-1  gateway/1.4.0\n"
            "state      active\n"
            "published  2026-01-01T00:00:00Z\n"
            "deltas     2/2 made, 1.5 kB; copies on 3/2 storage nodes\n"
            "  canary [########################] 2/2 done, 1 failed\n"
            "  all    [------------------------] 0/10 done, 0 failed (not "
            "open)\n"
            "  failed: 00ff health_failed modem?[2J\n");
}

TEST(DescribeRollout, SaysWhenPhasesOpenAndAreDone) {
  auto rollout = Example();
  rollout.clear_outcomes();
  rollout.clear_deltas();
  auto* canary = rollout.mutable_phases(0);
  canary->set_expected(4);
  canary->set_answered_at(1767226200000);
  auto* all = rollout.mutable_phases(1);
  all->set_opens_at(1767229200000);
  all->set_answered_at(1767230000000);
  auto* rest = rollout.add_phases();
  rest->set_name("rest");
  rest->set_expected(90);
  rest->set_waits_for("needs_approval");
  const std::string head =
      "rollout    r-1  gateway/1.4.0\n"
      "state      active\n"
      "published  2026-01-01T00:00:00Z\n";
  EXPECT_EQ(DescribeRollout(rollout),
            head +
                "  canary [############------------] 2/4 done, 1 failed (done "
                "about 2026-01-01T00:10:00Z)\n"
                "  all    [------------------------] 0/10 done, 0 failed "
                "(opens about 2026-01-01T01:00:00Z, done about "
                "2026-01-01T01:13:20Z)\n"
                "  rest   [------------------------] 0/90 done, 0 failed (not "
                "open, waits for approval)\n");
  EXPECT_TRUE(RolloutLine(rollout).ends_with(
      " all=0/10,closed,opens:2026-01-01T01:00:00Z "
      "rest=0/90,closed,waits:needs_approval"));
  // Nobody knows when somebody goes on.
  rollout.set_state(rollout::v1::ROLLOUT_STATE_PAUSED);
  EXPECT_EQ(DescribeRollout(rollout).find("about"), std::string::npos);
}

TEST(RolloutLine, IsOneLine) {
  EXPECT_EQ(RolloutLine(Example()),
            "rollout=r-1 state=active published=true canary=2/2,failed:1 "
            "all=0/10,closed");
  auto preparing = Example();
  preparing.set_state(rollout::v1::ROLLOUT_STATE_PREPARING);
  preparing.set_message("making deltas");
  EXPECT_TRUE(RolloutLine(preparing).ends_with(
      "deltas=2/2 mirrors=3/2 message=making deltas"));
}

TEST(ResultOf, DecidesTheExitCode) {
  auto rollout = Example();
  rollout.set_state(rollout::v1::ROLLOUT_STATE_FINISHED);
  EXPECT_OK(ResultOf(rollout));
  rollout.set_state(rollout::v1::ROLLOUT_STATE_HALTED);
  EXPECT_THAT(ResultOf(rollout), FailsBecause("rollout_halted"));
  rollout.set_state(rollout::v1::ROLLOUT_STATE_FAILED);
  EXPECT_THAT(ResultOf(rollout), FailsBecause("rollout_failed"));
}

}  // namespace
}  // namespace shoal::cli
