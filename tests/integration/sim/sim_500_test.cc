#include "tests/integration/sim/run_sim.h"

namespace shoal::testing {
namespace {

TEST(Sim500, FourPhasesWithSlowLinksAndDevicesThatAreAway) {
  TempDir dir;
  int code = -1;
  const nlohmann::json run =
      RunSim(dir,
             {"--devices", "500", "--failing", "0.04", "--offline", "0.2",
              "--offline-for", "30", "--attempts", "2", "--seed", "11"},
             &code, absl::Minutes(15));
  ASSERT_TRUE(run.is_object());
  EXPECT_EQ(run["violations"], nlohmann::json::array());
  EXPECT_EQ(code, 0);
  EXPECT_EQ(run["updated"].get<int>() + run["failed"].get<int>(), 500);
  EXPECT_EQ(run["phases_opened_seconds"].size(), 4u);
}

}  // namespace
}  // namespace shoal::testing
