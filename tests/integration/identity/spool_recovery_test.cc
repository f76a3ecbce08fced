// What waited in a device's spool while the server was stolen and recovered
// arrives all the same, under the credential that came with the recovery.
#include "tests/integration/identity/identity_fixture.h"

namespace shoal::testing {
namespace {

using nlohmann::json;

class SpoolRecovery : public IdentityPrograms {
 protected:
  // Batches of telemetry, and how many the plane misses; -1: it has none.
  std::pair<int64_t, int64_t> Telemetry() {
    const auto text =
        fleet_->Shoal({"telemetry", "status", "--output", "json"});
    if (!text.ok()) return {0, -1};
    const json j = json::parse(*text, nullptr, false);
    if (!j.is_object() || !j.contains("streams") || j["streams"].empty())
      return {0, -1};
    const auto number = [](const json& one, const char* name) {
      if (!one.contains(name)) return int64_t{0};
      return one[name].is_string()
                 ? static_cast<int64_t>(
                       std::atoll(one[name].get<std::string>().c_str()))
                 : one[name].get<int64_t>();
    };
    const json& stream = j["streams"][0];
    return {number(stream, "batches"), number(stream, "missing")};
  }
  size_t Waiting(Device& device) {
    const auto names = RealFileSystem().List(device.data() + "/spool");
    return names.ok() ? names->size() : 0;
  }
};

TEST_F(SpoolRecovery, T20_T63_WhatWaitedIsSignedAgainAndArrives) {
  ASSERT_NO_FATAL_FAILURE(StartFleet());
  auto device = Paired("device");
  ASSERT_OK(WaitFor("telemetry", [&] { return Telemetry().first > 2; }));
  const int64_t before = Telemetry().first;

  // The plane is stolen, and no node is left that would take a word.
  fleet_->KillPlane();
  for (const std::string& node : fleet_->nodes()) fleet_->StopNode(node);
  ASSERT_OK(WaitFor(
      "records to wait", [&] { return Waiting(*device) >= 6; },
      absl::Seconds(40)));

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
  device->PowerOff();
  device->PowerOn();
  ASSERT_OK(WaitFor(
      "all that waited to arrive",
      [&] {
        const auto [batches, missing] = Telemetry();
        return batches > before + 6 && missing == 0;
      },
      absl::Seconds(90)));
  EXPECT_NE(device->process().Log().find("event=spool_resigned"),
            std::string::npos);
  // One truth for each number: no node saw two.
  for (const std::string& node : fleet_->nodes())
    EXPECT_EQ(fleet_->NodeLog(node).find("event=equal_versions"),
              std::string::npos)
        << node;
}

}  // namespace
}  // namespace shoal::testing
