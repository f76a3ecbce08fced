#include "tests/fault/plane/plane_under_fire.h"

namespace shoal::testing {
namespace {

TEST_F(PlaneUnderFire, Killed200TimesNothingAcknowledgedIsLost) { Run(200); }

}  // namespace
}  // namespace shoal::testing
