#include "tests/integration/sim/run_sim.h"

namespace shoal::testing {
namespace {

TEST(Sim, FiftyDevicesTakeTwoPhasesAndAreAllAccountedFor) {
  TempDir dir;
  int code = -1;
  const nlohmann::json run =
      RunSim(dir, {"--devices",      "50",      "--phases",          "30,100",
                   "--failing",      "0.1",     "--offline",         "0.1",
                   "--offline-for",  "3",       "--reboot-time",     "0.5",
                   "--links",        "100mbit", "--error-threshold", "60",
                   "--gate-success", "50",      "--gate-sample",     "40",
                   "--seed",         "4"},
             &code, absl::Seconds(200));
  ASSERT_TRUE(run.is_object());
  EXPECT_EQ(run["violations"], nlohmann::json::array());
  EXPECT_EQ(code, 0);
  EXPECT_EQ(run["state"], "ROLLOUT_STATE_FINISHED");
  const int updated = run["updated"];
  const int failed = run["failed"];
  EXPECT_EQ(updated + failed, 50);
  EXPECT_GT(failed, 0);
  EXPECT_GT(run["by_delta"], 0);
  EXPECT_EQ(run["phases_opened_seconds"].size(), 2u);
  // Figures that a report stands on.
  EXPECT_GT(run["rollout"]["plane"]["cpu_seconds"], 0.0);
  EXPECT_GT(run["rollout"]["nodes"][0]["udp_in_bytes"], 0);
  EXPECT_GE(run["rollout"]["nodes"][0]["records"], 50);
  for (const char* plot : {"states", "counts", "plane"})
    EXPECT_TRUE(
        RealFileSystem().Exists(dir.File(std::string("run-") + plot + ".svg")));
}

TEST(Sim, WhatCannotBeIsMisuse) {
  const auto result = shoal::testing::Run(
      {BinPath("shoal-sim"), "--phases", "50,20"}, absl::Seconds(20));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->status.code, 2);
  EXPECT_NE(result->output.find("bad_phases"), std::string::npos)
      << result->output;
}

}  // namespace
}  // namespace shoal::testing
