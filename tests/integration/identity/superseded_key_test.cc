// A device's disk was copied, and its key replaced: the copy is worth nothing
// any more, to storage nodes neither, and with the plane away.
#include "tests/integration/identity/identity_fixture.h"
#include "tests/integration/identity/stolen_device.h"

namespace shoal::testing {
namespace {

class SupersededKey : public IdentityPrograms {
 protected:
  std::unique_ptr<StolenDevice> CopyOf(Device& device,
                                       const std::string& name) {
    auto copy = StolenDevice::Take(device.data() + "/state", dir_.File(name));
    EXPECT_OK(copy);
    return copy.ok() ? *std::move(copy) : nullptr;
  }
  // The plane took a record that only a thief makes: it can't be opened.
  size_t Forgeries() {
    const std::string log = fleet_->PlaneLog();
    size_t count = 0;
    for (size_t at = log.find("event=telemetry_dropped"); at != log.npos;
         at = log.find("event=telemetry_dropped", at + 1))
      ++count;
    return count;
  }
};

TEST_F(SupersededKey, T52_T56_ACopyOfTheOldKeyIsRefusedByEveryNode) {
  ASSERT_NO_FATAL_FAILURE(StartFleet());
  auto device = Paired("device");
  const auto thief = CopyOf(*device, "stolen");
  ASSERT_NE(thief, nullptr);
  const absl::Time yesterday = absl::Now() - absl::Hours(24);

  // As long as the key is the device's, whoever has it is believed.
  const std::string early = thief->Telemetry(1'000'000, yesterday);
  ASSERT_OK(thief->Offer(early));
  ASSERT_OK(
      WaitFor("the plane to be deceived", [&] { return Forgeries() == 1; }));

  Agent(*device, {"rotate-key", "--wait", "90s"});
  ASSERT_OK(fleet_->plane().WaitForLog("event=key_changed"));
  ASSERT_OK(fleet_->plane().WaitForLog("event=revocations_signed"));
  uint64_t sequence = 1'000'000;
  size_t taken = 1;
  ASSERT_OK(WaitFor(
      "every node to refuse the old key",
      [&] {
        const auto offered =
            thief->Offer(thief->Telemetry(++sequence, yesterday));
        const bool refused = ReasonOf(offered) == "no_receipt";
        if (!refused) ++taken;  // by a node that had not heard yet
        return refused;
      },
      absl::Seconds(60)));
  ASSERT_OK(
      WaitFor("the plane to read on", [&] { return Forgeries() == taken; }));

  // With the server dead, and by a node that was just started.
  fleet_->KillPlane();
  for (const std::string& node : fleet_->nodes())
    ASSERT_OK(fleet_->RestartNode(node));
  const auto owner = CopyOf(*device, "owner");
  ASSERT_NE(owner, nullptr);
  EXPECT_OK(owner->Offer(owner->Telemetry(2'000'000, absl::Now())));
  EXPECT_THAT(thief->Offer(thief->Telemetry(2'000'001, yesterday)),
              FailsBecause("no_receipt"));
  EXPECT_THAT(thief->Offer(thief->Telemetry(2'000'002, absl::Now())),
              FailsBecause("no_receipt"));
  // What was on disk before the change is there still.
  EXPECT_OK(thief->Offer(early));
  // The plane, when it is back, hears of the owner's record, and of nothing
  // that the thief left.
  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(WaitFor("the owner's record to arrive",
                    [&] { return Forgeries() > taken; }));
  EXPECT_EQ(Forgeries(), taken + 1);
}

}  // namespace
}  // namespace shoal::testing
