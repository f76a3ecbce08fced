#include "tests/fault/plane/plane_under_fire.h"

namespace shoal::testing {
namespace {

TEST_F(PlaneUnderFire, KilledEightTimesNothingAcknowledgedIsLost) { Run(8); }

}  // namespace
}  // namespace shoal::testing
