// A credential is renewed long before it ends; with the plane away the device
// works until the end, and goes on by itself when the plane is back. The clock
// of the whole fleet is moved; the programs are the real ones.
#include "tests/integration/identity/identity_fixture.h"

namespace shoal::testing {
namespace {

class RenewalPrograms : public IdentityPrograms {
 protected:
  // Everybody wakes up later.
  void Later(Device& device, absl::Duration shift, bool plane) {
    device.PowerOff();
    fleet_->KillPlane();
    for (const std::string& node : fleet_->nodes()) {
      fleet_->StopNode(node);
      fleet_->ShiftClock(node, shift);
      ASSERT_OK(fleet_->RestartNode(node));
    }
    fleet_->ShiftPlaneClock(shift);
    if (plane) {
      ASSERT_OK(fleet_->StartPlane());
    }
    device.SetClock(absl::Now() + shift);
    device.PowerOn();
    ASSERT_OK(device.process().WaitForLog("event=online", absl::Seconds(40)));
  }
  // Of the certificate, which ends with the credential.
  absl::Time End(Device& device) {
    const std::string crt = dir_.File("crt");
    Agent(device, {"certificate", "--out", crt});
    int code = 0;
    std::string said =
        Openssl({"x509", "-in", crt, "-noout", "-enddate"}, &code);
    absl::Time end;
    std::string error;
    said = said.substr(said.find('=') + 1);
    said = said.substr(0, said.find(" GMT"));
    EXPECT_TRUE(absl::ParseTime("%b %e %H:%M:%S %Y", said, &end, &error))
        << said << error;
    return end;
  }
};

TEST_F(RenewalPrograms, ACredentialIsRenewedInTimeAndAfterItsTime) {
  ASSERT_NO_FATAL_FAILURE(
      StartFleet("\n[pairing]\ncredential_lifetime = \"2h\"\n"));
  auto device = Paired("device");
  const absl::Time first = End(*device);
  EXPECT_LT(first, absl::Now() + absl::Hours(2) + absl::Minutes(1));

  // Past half of its life, before the end.
  ASSERT_NO_FATAL_FAILURE(Later(*device, absl::Minutes(70), true));
  ASSERT_OK(device->process().WaitForLog("event=credential_renewed",
                                         absl::Seconds(90)));
  const absl::Time second = End(*device);
  EXPECT_GT(second, first + absl::Hours(1));

  // The plane goes, and stays away past the next renewal: the device is a
  // member as before, and storage nodes take what it says.
  ASSERT_NO_FATAL_FAILURE(Later(*device, absl::Minutes(175), false));
  ASSERT_OK(WaitFor(
      "records to be acknowledged", [&] { return SpoolEmpty(*device); },
      absl::Seconds(60)));
  EXPECT_EQ(End(*device), second);

  // Past the end: nobody takes its records, and it keeps them.
  ASSERT_NO_FATAL_FAILURE(Later(*device, absl::Minutes(200), false));
  ASSERT_OK(WaitFor("records to wait", [&] {
    const auto names = RealFileSystem().List(device->data() + "/spool");
    return names.ok() && names->size() >= 5;
  }));

  fleet_->ShiftPlaneClock(absl::Minutes(200));
  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(device->process().WaitForLog("event=credential_renewed",
                                         absl::Seconds(90)));
  ASSERT_OK(device->process().WaitForLog("event=spool_resigned"));
  ASSERT_OK(WaitFor(
      "a report under the new credential",
      [&] {
        return LastSeen(*device) >
               absl::ToUnixMillis(second);  // by the moved clock
      },
      absl::Seconds(60)));
}

}  // namespace
}  // namespace shoal::testing
