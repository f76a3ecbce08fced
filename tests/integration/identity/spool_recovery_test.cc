// What waited in a device's spool while the plane was stolen arrives all the
// same after the recovery, under the credential that came with it.
#include "tests/integration/identity/identity_fixture.h"

namespace shoal::testing {
namespace {

class SpoolRecovery : public IdentityPrograms {
 protected:
  // Batches that arrived and are sealed to the telemetry key that was stolen:
  // those of the bad days, which are opened by hand.
  size_t Sealed() {
    return Count(fleet_->PlaneLog(), "reason=not_decryptable");
  }
};

TEST_F(SpoolRecovery, T20_T63_WhatWaitedIsSignedAgainAndArrives) {
  ASSERT_NO_FATAL_FAILURE(StartFleet());
  auto device = Paired("device");
  ASSERT_OK(WaitFor("telemetry", [&] { return Arrived().batches > 2; }));

  // Nothing is on its way when the plane is stolen: what storage nodes hold and
  // nobody has read went with the CA that vouched for it.
  device->PowerOff();
  ASSERT_OK(WaitFor("the plane to read all that nodes hold", [&] {
    return Arrived().batches + Waiting(*device) >= Made(*device);
  }));
  fleet_->KillPlane();
  for (const std::string& node : fleet_->nodes()) fleet_->StopNode(node);
  const uint64_t before = Made(*device);
  device->PowerOn();
  ASSERT_OK(WaitFor(
      "telemetry to wait",
      [&] { return Made(*device) >= before + 6 && Waiting(*device) >= 6; },
      absl::Seconds(40)));

  ASSERT_OK(fleet_->Recover());
  ASSERT_OK(device->process().WaitForLog("event=credential_renewed",
                                         absl::Seconds(90)));
  EXPECT_NE(device->process().Log().find("event=spool_resigned"),
            std::string::npos);
  // Power fails in the middle of it, too.
  device->PowerOff();
  device->PowerOn();

  // Every number arrived once: opened, or sealed to the key that is no more.
  ASSERT_OK(WaitFor(
      "all that waited to arrive",
      [&] {
        const Stream stream = Arrived();
        return Sealed() >= 6 && stream.missing == Sealed() &&
               stream.batches + stream.missing > before + 6;
      },
      absl::Seconds(90)));
  for (const std::string& node : fleet_->nodes())
    EXPECT_EQ(fleet_->NodeLog(node).find("event=equal_versions"),
              std::string::npos)
        << node;
}

}  // namespace
}  // namespace shoal::testing
