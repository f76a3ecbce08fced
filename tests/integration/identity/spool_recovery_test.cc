// What waited in a device's spool while the plane was stolen arrives all the
// same after the recovery, under the credential that came with it.
#include "common/bytes.h"
#include "tests/integration/identity/identity_fixture.h"

namespace shoal::testing {
namespace {

using nlohmann::json;

class SpoolRecovery : public IdentityPrograms {
 protected:
  struct Stream {
    uint64_t batches = 0;  // that the plane holds, opened
    uint64_t missing = 0;  // numbers below the highest that it does not hold
  };
  Stream Arrived() {
    const auto text =
        fleet_->Shoal({"telemetry", "status", "--output", "json"});
    const json j =
        text.ok() ? json::parse(*text, nullptr, false) : json::object();
    if (!j.is_object() || !j.contains("streams") || j["streams"].empty())
      return {};
    const auto number = [&](const char* name) -> uint64_t {
      const json value = j["streams"][0].value(name, json(0));
      return value.is_string() ? std::stoull(value.get<std::string>())
                               : value.get<uint64_t>();
    };
    return {number("batches"), number("missing")};
  }
  // Batches that arrived and are sealed to the telemetry key that was stolen:
  // those of the bad days, which are opened by hand.
  uint64_t Sealed() {
    const std::string log = fleet_->PlaneLog();
    const std::string line = "reason=not_decryptable";
    uint64_t count = 0;
    for (size_t at = log.find(line); at != log.npos;
         at = log.find(line, at + 1))
      ++count;
    return count;
  }
  // How many batches the device has made.
  static uint64_t Made(Device& device) {
    const std::string kept = ReadText(device.data() + "/state/telemetry");
    return kept.size() < 8 ? 0 : ReadBigEndian(kept, 8);
  }
  static uint64_t Waiting(Device& device) {
    const auto names = RealFileSystem().List(device.data() + "/spool");
    return names.ok() ? names->size() : 0;
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
