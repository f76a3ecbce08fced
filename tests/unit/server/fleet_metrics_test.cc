// What the plane's metrics say of rollouts that have ended: nothing that an
// alert could stay on.
#include "server/metrics/fleet_metrics.h"

#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class FleetMetricsTest : public RolloutPlaneTest {
 protected:
  std::string Text() {
    FleetMetrics fleet(*store_, *trust_);
    metrics::Metrics metrics;
    metrics.Collect([&](metrics::Samples& out) { fleet.Collect(out); });
    return metrics.Text();
  }
};

TEST_F(FleetMetricsTest, AnAbortedRolloutFailsNoLonger) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(1000);
  ActiveRollout(3, devices, request);
  ASSERT_OK(Take(
      {OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_ROLLED_BACK,
                     std::string(32, 'o'), 1)}));
  const std::string failed =
      "shoald_rollout_outcomes{result=\"failed\",rollout=\"r1\"}";
  const std::string other =
      "shoald_rollout_outcomes{rollout=\"r1\",result=\"failed\"}";
  EXPECT_THAT(Text(), ::testing::AnyOf(HasSubstr(failed + " 1"),
                                       HasSubstr(other + " 1")));
  rollout::v1::AbortRolloutRequest abort;
  abort.set_name("rollouts/r1");
  abort.set_stay(true);
  ASSERT_OK(rollouts_->Abort(abort, "operator:ann"));
  EXPECT_THAT(Text(), HasSubstr("shoald_rollouts{state=\"aborted\"} 1"));
  EXPECT_THAT(Text(), Not(HasSubstr("shoald_rollout_outcomes{")));
  EXPECT_THAT(Text(), Not(HasSubstr("shoald_rollout_open_phase{")));
}

}  // namespace
}  // namespace shoal::server
