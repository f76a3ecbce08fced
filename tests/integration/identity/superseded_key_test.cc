// A device's disk was copied, and its key replaced: the copy is worth nothing
// any more, to storage nodes neither, and with the plane away.
#include <filesystem>

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
  // How often what the device believes of the fleet changed since its start.
  static size_t Changes(Device& device) {
    return Count(device.process().Log(), "event=trust_changed");
  }
  // The plane took a record that only a thief makes: it can't be opened.
  size_t Forgeries() {
    return Count(fleet_->PlaneLog(), "event=telemetry_dropped");
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

// What waits in the spool when the key changes was signed by the old one, and
// no node takes that any more.
TEST_F(SupersededKey, T56_T63_WhatWaitedIsSignedAgainAndArrives) {
  ASSERT_NO_FATAL_FAILURE(StartFleet());
  auto device = Paired("device");
  ASSERT_OK(WaitFor("telemetry", [&] { return Arrived().batches > 2; }));
  for (const std::string& node : fleet_->nodes()) fleet_->StopNode(node);
  ASSERT_OK(WaitFor(
      "telemetry to wait", [&] { return Waiting(*device) >= 6; },
      absl::Seconds(40)));
  device->PowerOff();

  // Put aside, so that the change comes before any node could take it.
  namespace fs = std::filesystem;
  const fs::path spool = device->data() + "/spool", aside = dir_.File("aside");
  const uint64_t last = Made(*device);
  fs::rename(spool, aside);
  fs::create_directory(spool);
  for (const std::string& node : fleet_->nodes())
    ASSERT_OK(fleet_->RestartNode(node));
  device->PowerOn();
  ASSERT_OK(device->process().WaitForLog("event=trust_changed"));
  const size_t before = Changes(*device);
  Agent(*device, {"rotate-key", "--wait", "90s"});
  ASSERT_OK(WaitFor(
      "the device to hear of it", [&] { return Changes(*device) > before; },
      absl::Seconds(60)));
  ASSERT_OK(WaitFor(
      "telemetry under the new key",
      [&] {
        const Stream stream = Arrived();
        return stream.missing > 0 && stream.batches + stream.missing > last;
      },
      absl::Seconds(60)));

  device->PowerOff();
  for (const auto& file : fs::directory_iterator(aside))
    fs::rename(file.path(), spool / file.path().filename());
  device->PowerOn();
  ASSERT_OK(
      device->process().WaitForLog("event=spool_resigned", absl::Seconds(60)));
  ASSERT_OK(WaitFor(
      "every number to arrive",
      [&] {
        const Stream stream = Arrived();
        return stream.missing == 0 && stream.batches > last;
      },
      absl::Seconds(60)));
}

}  // namespace
}  // namespace shoal::testing
