// The rollout policy by the real programs: one document from the operator to a
// device that holds, is paused, goes on and comes back; and a rollout without a
// management plane that an operator halts through a storage node.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/real_fleet.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

class RolloutPolicyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(fleet_, RealFleet::Start(dir_));
  }
  Device& device() { return fleet_->device(); }
  std::string DeviceId() { return device().Status().value("device_id", ""); }
  absl::Status Waits(const std::string& reason) {
    return WaitFor(
        "the device to wait: " + reason,
        [&] {
          return device().Status()["live"].value("waiting_reason", "") ==
                 reason;
        },
        absl::Seconds(60));
  }
  absl::Status Runs(const std::string& version) {
    return WaitFor(
        "the device to run " + version,
        [&] { return device().RunningVersion() == version && device().Idle(); },
        absl::Seconds(60));
  }
  // `rollout get` of one rollout; {} while it can't be read.
  nlohmann::json Rollout(const std::string& id) {
    const auto text = fleet_->Shoal({"rollout", "get", id, "--output", "json"});
    if (!text.ok()) return nlohmann::json::object();
    const size_t brace = text->find('{');
    auto json =
        brace == std::string::npos
            ? nlohmann::json()
            : nlohmann::json::parse(text->substr(brace), nullptr, false);
    return json.is_object() ? json : nlohmann::json::object();
  }
  absl::Status Write(const std::string& name, const std::string& text) {
    return RealFileSystem().WriteAtomic(fleet_->Path(name), text);
  }

  TempDir dir_;
  std::unique_ptr<RealFleet> fleet_;
};

TEST_F(RolloutPolicyTest, HoldsPausesActivatesAndComesBack) {
  ASSERT_OK(Write("held.yaml",
                  "release: gateway/4.0\n"
                  "id: held\n"
                  "unattended: true\n"
                  "max_parallel: 1\n"
                  "activation: {hold: true}\n"));
  ASSERT_OK_AND_ASSIGN(const std::string plan,
                       fleet_->Shoal({"rollout", "create", "-f",
                                      fleet_->Path("held.yaml"), "--dry-run"}));
  EXPECT_NE(plan.find("WITHOUT SHOALD"), std::string::npos) << plan;
  EXPECT_NE(plan.find("activation_hold"), std::string::npos) << plan;
  EXPECT_NE(plan.find(DeviceId()), std::string::npos) << plan;
  EXPECT_EQ(Rollout("held"), nlohmann::json::object()) << "nothing was made";

  ASSERT_OK(
      fleet_->Shoal({"rollout", "create", "-f", fleet_->Path("held.yaml")}));
  ASSERT_OK(Waits("activation_held"));
  EXPECT_EQ(device().RunningVersion(), "3.0");
  ASSERT_OK(WaitFor(
      "the plane to know",
      [&] {
        const auto text = fleet_->Shoal({"device", "explain", DeviceId()});
        return text.ok() && text->find("activation_held") != std::string::npos;
      },
      absl::Seconds(60)));

  ASSERT_OK(fleet_->Shoal({"rollout", "pause", "held", "--reason", "fair"}));
  ASSERT_OK(Waits("rollout_not_active"));
  // A plane that was killed goes on where its store says it was.
  fleet_->KillPlane();
  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(fleet_->Connect("again"));
  EXPECT_EQ(Rollout("held").value("state", ""), "ROLLOUT_STATE_PAUSED");
  ASSERT_OK(fleet_->Shoal({"rollout", "resume", "held"}));
  ASSERT_OK(Waits("activation_held"));
  ASSERT_OK(fleet_->Shoal({"rollout", "activate", "held", "--yes"}));
  ASSERT_OK(Runs("4.0"));
  ASSERT_OK(fleet_->Shoal({"rollout", "watch", "held", "--timeout", "60s"}));

  // Without --yes nobody is there to be asked.
  EXPECT_FALSE(fleet_->Shoal({"rollout", "abort", "held"}).ok());
  ASSERT_OK(fleet_->Shoal(
      {"rollout", "abort", "held", "--reason", "modem drops", "--yes"}));
  ASSERT_OK(Runs("3.0"));
  EXPECT_EQ(Rollout("held").value("rolled_back_by", ""), "rollouts/held-back");
  ASSERT_OK(
      fleet_->Shoal({"rollout", "watch", "held-back", "--timeout", "60s"}));
}

TEST_F(RolloutPolicyTest, T28_WithoutAPlaneAHaltStopsItUntilItIsResumed) {
  // Once the plane knows what runs, it makes the delta to the newest release;
  // then no late one joins the document in another version.
  ASSERT_OK(WaitFor("the plane to know what runs", [&] {
    const auto deltas =
        fleet_->Shoal({"release", "deltas", "gateway/5.0", "--output", "json"});
    return deltas.ok() && deltas->find("DELTA_STATE_MADE") != std::string::npos;
  }));
  // A first phase that has nobody yet: the gate stays shut on silence.
  ASSERT_OK(Write("dark.yaml",
                  "release: gateway/4.0\n"
                  "id: dark\n"
                  "unattended: true\n"
                  "phases:\n"
                  "  - name: lab\n"
                  "    labels: {ring: lab}\n"
                  "    gate: {soak: 20s}\n"
                  "  - name: all\n"
                  "    percent: 100\n"));
  ASSERT_OK(fleet_->Shoal({"rollout", "create", "-f", fleet_->Path("dark.yaml"),
                           "--wait-published"}));
  fleet_->KillPlane();
  ASSERT_OK(
      device().process().WaitForLog("event=outcome_sample", absl::Seconds(60)));
  ASSERT_OK(Waits("phase_closed"));
  ASSERT_OK(fleet_->Shoal(
      {"rollout", "halt", "dark", "--type", "gateway", "--reason", "smoke"}));
  ASSERT_OK(device().process().WaitForLog("event=rollout_halted"));
  ASSERT_OK(Waits("halted"));
  EXPECT_EQ(device().RunningVersion(), "3.0");

  // Back again, the plane finds the halt in the network and signs it, once.
  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(fleet_->Connect("again"));
  ASSERT_OK(WaitFor(
      "the plane to know of the halt",
      [&] {
        const auto rollout = Rollout("dark");
        return rollout.value("state", "") == "ROLLOUT_STATE_HALTED" &&
               rollout["document"].value("state", "") == "ROLLOUT_STATE_HALTED";
      },
      absl::Seconds(60)));
  const auto version = Rollout("dark")["document"]["version"];
  EXPECT_EQ(version, 2);
  fleet_->KillPlane();
  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(fleet_->Connect("third"));
  EXPECT_EQ(Rollout("dark")["document"]["version"], version)
      << "nothing is signed twice";
  ASSERT_OK(fleet_->Shoal({"rollout", "resume", "dark", "--yes"}));
  // With the plane an empty phase passes by its time.
  ASSERT_OK(Runs("4.0"));
}

}  // namespace
}  // namespace shoal::testing
