#include "server/cli/rollout_plan_view.h"

#include <gtest/gtest.h>

namespace shoal::cli {
namespace {

TEST(DescribePlan, IsThisText) {
  rollout::v1::RolloutPlan plan;
  plan.mutable_document()->set_id("spring");
  plan.mutable_document()->set_device_type("gateway");
  plan.mutable_document()->mutable_release()->set_version("1.4.0");
  plan.set_total_devices(3);
  plan.set_up_to_date(1);
  plan.set_total_bytes(1'500'000);
  auto* canary = plan.add_phases();
  canary->set_name("canary");
  canary->set_devices(1);
  canary->set_with_delta(1);
  canary->set_bytes(500'000);
  canary->set_seconds(3600);
  auto* all = plan.add_phases();
  all->set_name("all");
  all->set_devices(2);
  all->set_bytes(1'000'000);
  all->set_seconds(5400);
  const auto device = [&](const char* id, uint32_t phase, const char* version,
                          uint64_t bytes) {
    auto* one = plan.add_devices();
    one->set_device(std::string("devices/") + id);
    one->set_phase(phase);
    one->set_running_version(version);
    one->set_bytes(bytes);
    return one;
  };
  device("00aa", 0, "1.3.0", 500'000)->set_delta(true);
  device("00bb", 1, "", 1'000'000);
  device("00cc", 1, "1.4.0", 0)->set_up_to_date(true);
  auto* promise = plan.add_promises();
  promise->set_name("gate:canary");
  promise->set_explanation("stays shut: the plane counts approvals");
  promise = plan.add_promises();
  promise->set_name("halt");
  promise->set_holds(true);
  promise->set_explanation("through a storage node");
  plan.add_warnings("1 selected devices were not heard of for a day");
  EXPECT_EQ(DescribePlan(plan),
            "rollout   spring  gateway/1.4.0\n"
            "devices   3, 1 of them run it already\n"
            "bytes     1.5 MB\n"
            "time      at least 2h30m\n"
            "\n"
            "PHASE   DEVICES  DELTA  BYTES     TIME\n"
            "canary  1        1      500.0 kB  1h\n"
            "all     2        0      1.0 MB    1h30m\n"
            "\n"
            "DEVICE  PHASE   RUNS   BY       BYTES\n"
            "00aa    canary  1.3.0  delta    500.0 kB\n"
            "00bb    all     -      full     1.0 MB\n"
            "00cc    all     1.4.0  runs it  0 B\n"
            "\n"
            "WITHOUT SHOALD  HOLDS  HOW\n"
            "gate:canary     no     stays shut: the plane counts approvals\n"
            "halt            yes    through a storage node\n"
            "warning: 1 selected devices were not heard of for a day\n");
}

TEST(DescribeExplanation, IsThisText) {
  rollout::v1::Explanation out;
  out.set_device("devices/00aa");
  out.set_rollout("rollouts/spring");
  out.set_summary("waits: halted: a halt stands");
  const auto add = [&](const char* name, rollout::v1::ConditionState state,
                       const char* reason, const char* text) {
    auto* condition = out.add_conditions();
    condition->set_name(name);
    condition->set_state(state);
    condition->set_reason(reason);
    condition->set_explanation(text);
  };
  add("state", rollout::v1::CONDITION_STATE_MET, "rollout_not_active",
      "version 2 says ACTIVE");
  add("halt", rollout::v1::CONDITION_STATE_UNMET, "halted", "a halt stands");
  add("window", rollout::v1::CONDITION_STATE_UNKNOWN, "outside_window",
      "the device's\x1b time");
  (*out.mutable_waiting())["outside_window"] = 12;
  (*out.mutable_waiting())["at_it"] = 3;
  EXPECT_EQ(DescribeExplanation(out),
            "device   00aa\n"
            "rollout  spring\n"
            "waits: halted: a halt stands\n"
            "\n"
            "    CONDITION  FACTS\n"
            "ok  state      version 2 says ACTIVE\n"
            "NO  halt       a halt stands (halted)\n"
            "?   window     the device's? time\n"
            "\n"
            "devices that have not answered:\n"
            "       3  at_it\n"
            "      12  outside_window\n");
}

TEST(ShortDuration, HasTwoUnitsAtMost) {
  EXPECT_EQ(ShortDuration(0), "0s");
  EXPECT_EQ(ShortDuration(90), "1m30s");
  EXPECT_EQ(ShortDuration(3600), "1h");
  EXPECT_EQ(ShortDuration(3605), "1h");
  EXPECT_EQ(ShortDuration(90061), "1d1h");
}

}  // namespace
}  // namespace shoal::cli
