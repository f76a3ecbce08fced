// What waited in a device's spool while the server was stolen and recovered
// arrives all the same, under the credential that came with the recovery.
#include "tests/integration/identity/identity_fixture.h"

namespace shoal::testing {
namespace {

using nlohmann::json;

class SpoolRecovery : public IdentityPrograms {
 protected:
  // Batches of telemetry that the plane can read.
  int64_t Batches() {
    const auto text =
        fleet_->Shoal({"telemetry", "status", "--output", "json"});
    if (!text.ok()) return 0;
    const json j = json::parse(*text, nullptr, false);
    if (!j.is_object() || !j.contains("streams") || j["streams"].empty())
      return 0;
    const json batches = j["streams"][0].value("batches", json(0));
    return batches.is_string() ? std::atoll(batches.get<std::string>().c_str())
                               : batches.get<int64_t>();
  }
  // Those that arrived and are sealed to the key that was stolen: the records
  // of the bad days.
  size_t Unreadable() {
    const std::string log = fleet_->PlaneLog();
    const std::string line = "reason=not_decryptable";
    size_t count = 0;
    for (size_t at = log.find(line); at != log.npos;
         at = log.find(line, at + 1))
      ++count;
    return count;
  }
  size_t Waiting(Device& device) {
    const auto names = RealFileSystem().List(device.data() + "/spool");
    return names.ok() ? names->size() : 0;
  }
};

TEST_F(SpoolRecovery, T20_T63_WhatWaitedIsSignedAgainAndArrives) {
  ASSERT_NO_FATAL_FAILURE(StartFleet());
  auto device = Paired("device");
  ASSERT_OK(WaitFor("telemetry", [&] { return Batches() > 2; }));

  // The plane is stolen, and no node is left that would take a word.
  fleet_->KillPlane();
  for (const std::string& node : fleet_->nodes()) fleet_->StopNode(node);
  ASSERT_OK(WaitFor(
      "records to wait", [&] { return Waiting(*device) >= 6; },
      absl::Seconds(40)));

  const size_t waiting = Waiting(*device) - 1;  // one may be a report

  // The runbook (docs/operations/stolen-server.md), steps 2 to 5.
  ASSERT_OK(
      fleet_->Shoald({"rotate-keys", "--data", fleet_->plane_directory()}));
  ASSERT_OK(fleet_->Sign({"rotate", "online", "--online",
                          fleet_->Path("plane/online-public.json")}));
  ASSERT_OK(fleet_->Shoald(
      {"import", "--data", fleet_->plane_directory(), fleet_->Path("repo")}));
  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(fleet_->Connect("second"));
  for (const std::string& node : fleet_->nodes())
    ASSERT_OK(fleet_->EnrolNode(node));
  for (const std::string& node : fleet_->nodes())
    ASSERT_OK(fleet_->RestartNode(node));

  // Power fails in the middle of it, too.
  ASSERT_OK(device->process().WaitForLog("event=credential_renewed",
                                         absl::Seconds(90)));
  EXPECT_NE(device->process().Log().find("event=spool_resigned"),
            std::string::npos);
  device->PowerOff();
  device->PowerOn();
  ASSERT_OK(WaitFor(
      "all that waited to arrive", [&] { return Unreadable() >= waiting; },
      absl::Seconds(90)));
  const int64_t before = Batches();
  ASSERT_OK(WaitFor(
      "telemetry to go on", [&] { return Batches() > before + 2; },
      absl::Seconds(60)));
  // One truth for each number: no node saw two.
  for (const std::string& node : fleet_->nodes())
    EXPECT_EQ(fleet_->NodeLog(node).find("event=equal_versions"),
              std::string::npos)
        << node;
}

}  // namespace
}  // namespace shoal::testing
