// A device in its fleet: rollouts, policy, commands, halts and telemetry over a
// real network, with the real programs.
#include <set>

#include "common/crypto/hash.h"
#include "rules/position.h"
#include "tests/integration/agent/paired_fixture.h"

namespace shoal::testing {
namespace {

TEST_F(PairedTest, PairsUpdatesAndReports) {
  Pair();
  ASSERT_OK_AND_ASSIGN(const TestImage image,
                       plane_->Release("2.0.0", 2, std::string(120'000, 'n')));
  ASSERT_OK(plane_->AddRollout(plane_->Rollout("r1", image)));
  ASSERT_OK(plane_->Publish());
  ASSERT_OK(WaitFor(
      "the outcome", [&] { return !Outcomes().empty(); }, absl::Seconds(40)));
  const records::v1::Outcome outcome = Outcomes()[0];
  EXPECT_EQ(outcome.result(), records::v1::OUTCOME_RESULT_SUCCESS);
  EXPECT_EQ(outcome.running_sha256(), image.target.sha256);
  EXPECT_EQ(outcome.device_id(), plane_->device_id());
  EXPECT_EQ(outcome.counter(), 1u);
  EXPECT_GE(outcome.bytes_downloaded(), 120'000u);
  EXPECT_EQ(device_->RunningVersion(), "2.0.0");
  // It offers what it fetched.
  ASSERT_OK(WaitFor("the provider record", [&] {
    return !plane_->Received(records::v1::RECORD_KIND_PROVIDER).empty();
  }));
  // Telemetry: numbered without gaps across the restart, readable with the
  // fleet's key alone.
  std::set<uint64_t> sequences;
  ASSERT_OK(WaitFor("telemetry", [&] {
    sequences.clear();
    for (const auto& record :
         plane_->Received(records::v1::RECORD_KIND_TELEMETRY)) {
      const auto plain =
          plane_->fleet().telemetry_key().Open(record.body.payload());
      records::v1::TelemetryBatch batch;
      if (!plain.ok() || !batch.ParseFromString(*plain)) return false;
      EXPECT_EQ(batch.device_id(), plane_->device_id());
      EXPECT_EQ(batch.sequence(), record.body.version());
      EXPECT_GE(batch.samples_size(), 3);
      sequences.insert(batch.sequence());
    }
    return sequences.size() >= 5 && *sequences.begin() == 1 &&
           *sequences.rbegin() == sequences.size();
  }));
}

// The owner's stick brings a root that replaces the timestamp's key, and an
// image that runs already, so that no restart follows. The agent that runs goes
// by what it brought from then on: what the replaced key signed is refused, and
// nothing older is written over the newer.
TEST_F(PairedTest, T04_T07_AStickTeachesTheRunningAgent) {
  ASSERT_OK(
      plane_->Release("1.0.0", 1, ReadText(dir_.File("factory"))).status());
  ASSERT_OK(plane_->Publish());
  // It asks nobody by itself from then on.
  Pair("start_spread = \"0s\"");
  ASSERT_OK(WaitFor("the device's metadata", [&] {
    return !plane_->Received(records::v1::RECORD_KIND_DEVICE_REPORT).empty();
  }));
  TestFleet& fleet = plane_->fleet();
  const std::string stored = device_->data() + "/metadata/";
  const auto version = [&] {
    const auto timestamp =
        signing::ParseTimestamp(ReadText(stored + "timestamp.json"));
    return timestamp.ok() ? timestamp->value.version : 0;
  };
  // What a thief of the key could send once it is too late.
  ASSERT_OK(fleet.Publish());
  ASSERT_OK_AND_ASSIGN(const auto late, fleet.PublicationRecords());
  const uint64_t old = fleet.versions().at("timestamp");
  ASSERT_LT(version(), old);

  ASSERT_OK(fleet.RotateTimestampKey());
  policy::v1::AccessPolicy policy = fleet.policy();
  policy.set_version(policy.version() + 1);
  ASSERT_OK(fleet.SetPolicy(policy));
  ASSERT_OK(fleet.Publish());
  ASSERT_OK(shoal::testing::Run(
      {"/bin/cp", "-r", fleet.repository(), dir_.File("stick")}));
  // The nodes that the thief has the device speak to know nothing of it.
  const std::string root = fleet.repository() + "/metadata/2.root.json";
  ASSERT_OK(RealFileSystem().Remove(root));
  int code = 0;
  const auto answer = device_->Install(dir_.File("stick"), &code);
  ASSERT_EQ(code, 0) << answer;
  EXPECT_EQ(answer["result"], "up_to_date");
  EXPECT_EQ(version(), old + 1);
  const std::string newest = ReadText(stored + "timestamp.json");
  // The policy of the stick is in force, without any network.
  EXPECT_OK(WaitFor("a report under the policy of the stick", [&] {
    for (const auto& record :
         plane_->Received(records::v1::RECORD_KIND_DEVICE_REPORT)) {
      records::v1::DeviceReport report;
      report.ParseFromString(record.body.payload());
      if (report.policy_version() == policy.version()) return true;
    }
    return false;
  }));

  for (const std::string& record : late) ASSERT_OK(plane_->Store(record));
  ASSERT_OK(WaitFor("the device has looked at it", [&] {
    const nlohmann::json refusal = device_->Status()["last_refusal"];
    return version() == old ||
           (refusal.is_object() && (refusal["reason"] == "bad_signature" ||
                                    refusal["reason"] == "rollback"));
  }));
  EXPECT_EQ(ReadText(stored + "timestamp.json"), newest);
  const std::string root_2 = ReadText(dir_.File("stick/metadata/2.root.json"));
  EXPECT_EQ(ReadText(stored + "root.json"), root_2);
  WriteText(root, root_2);

  // A stick that is older than what is known changes nothing either, and the
  // fleet goes on.
  ASSERT_OK(fleet.Publish());
  ASSERT_OK(plane_->Publish());
  ASSERT_OK(WaitFor("the newest of the network",
                    [&] { return version() > old + 2; }));
  device_->Install(dir_.File("stick"), &code);
  EXPECT_NE(code, 0);
  EXPECT_EQ(device_->Status()["last_refusal"]["reason"], "rollback");
  EXPECT_GT(version(), old + 2);
  ASSERT_OK_AND_ASSIGN(const TestImage image,
                       plane_->Release("2.0.0", 2, std::string(60'000, 'n')));
  ASSERT_OK(plane_->AddRollout(plane_->Rollout("r1", image)));
  ASSERT_OK(plane_->Publish());
  ASSERT_OK(WaitFor(
      "the outcome", [&] { return !Outcomes().empty(); }, absl::Seconds(40)));
  EXPECT_EQ(device_->RunningVersion(), "2.0.0");
}

TEST_F(PairedTest,
       T20_WithoutAGrantInThePolicyNothingIsInstalledUntilItChanges) {
  policy::v1::AccessPolicy policy = plane_->fleet().policy();
  policy.set_version(policy.version() + 1);
  policy.clear_rules();
  ASSERT_OK(plane_->fleet().SetPolicy(policy));
  ASSERT_OK(plane_->Publish());
  Pair();
  ASSERT_OK_AND_ASSIGN(const TestImage image,
                       plane_->Release("2.0.0", 2, std::string(60'000, 'n')));
  ASSERT_OK(plane_->AddRollout(plane_->Rollout("r1", image)));
  ASSERT_OK(plane_->Publish());
  ASSERT_OK(device_->process().WaitForLog(
      "event=update_refused reason=policy_denied"));
  EXPECT_EQ(device_->RunningVersion(), "factory");
  EXPECT_EQ(device_->Status()["last_refusal"]["reason"], "policy_denied");
  // The operator learns why, once, a restart of the device included.
  ASSERT_OK(WaitFor("the refusal", [&] { return !Outcomes().empty(); }));
  EXPECT_EQ(Outcomes()[0].result(), records::v1::OUTCOME_RESULT_REFUSED);
  EXPECT_EQ(Outcomes()[0].reason(), "policy_denied");
  EXPECT_EQ(Outcomes()[0].rollout_id(), "r1");
  EXPECT_EQ(Outcomes()[0].running_version(), "factory");
  device_->PowerOff();
  device_->PowerOn();
  ASSERT_OK(WaitFor("the device refuses again", [&] {
    return device_->Status()["live"].value("waiting_reason", "") ==
           "policy_denied";
  }));
  // A new policy takes effect at once.
  ASSERT_OK(plane_->AllowInstall());
  ASSERT_OK(plane_->Publish());
  ASSERT_OK(WaitFor(
      "the update",
      [&] { return device_->RunningVersion() == "2.0.0" && device_->Idle(); },
      absl::Seconds(40)));
}

TEST_F(PairedTest, T53_CommandsRunByTheDevicesOwnDecision) {
  policy::v1::Rule rule;
  rule.set_name("greeting");
  rule.add_principals("operator:helper");
  rule.add_actions("command.run:greet");
  rule.mutable_devices()->set_all(true);
  ASSERT_OK_AND_ASSIGN(const TestOperator helper,
                       plane_->fleet().MakeOperator("helper"));
  policy::v1::AccessPolicy policy = plane_->fleet().policy();
  policy.set_version(policy.version() + 1);
  *policy.add_operators() = helper.entry;
  *policy.add_rules() = rule;
  ASSERT_OK(plane_->fleet().SetPolicy(policy));
  ASSERT_OK(plane_->Publish());
  Pair();
  ASSERT_OK_AND_ASSIGN(auto result, Command(helper, "greet", {"world"}));
  EXPECT_EQ(result.reason(), "ok") << result.message();
  EXPECT_EQ(result.output(), "hello world\n");
  ASSERT_OK_AND_ASSIGN(result, Command(helper, "greet", {"$(id)"}));
  EXPECT_EQ(result.reason(), "bad_argument");
  ASSERT_OK_AND_ASSIGN(result, Command(helper, "secret", {}));
  EXPECT_EQ(result.reason(), "permission_denied");
  ASSERT_OK_AND_ASSIGN(result, Command(helper, "missing", {}));
  EXPECT_EQ(result.reason(), "permission_denied");
}

TEST_F(PairedTest, T28_AHaltEndsNewStartsAcrossRestarts) {
  policy::v1::Rule rule;
  rule.set_name("halt");
  rule.add_principals("operator:" + plane_->fleet().admin().name);
  rule.add_actions("rollout.halt");
  ASSERT_OK(plane_->AllowInstall({rule}));
  ASSERT_OK(plane_->Publish());
  Pair();
  records::v1::Halt halt;
  halt.set_rollout_id("r1");
  halt.set_counter(1);
  halt.set_reason("smoke");
  ASSERT_OK_AND_ASSIGN(
      const std::string record,
      plane_->fleet().OperatorRecord(
          plane_->fleet().admin(), records::v1::RECORD_KIND_HALT, "gateway", 1,
          halt.SerializeAsString(), absl::Hours(1)));
  ASSERT_OK(plane_->Store(record));
  ASSERT_OK(device_->process().WaitForLog("event=rollout_halted"));
  device_->PowerOff();
  ASSERT_OK_AND_ASSIGN(const TestImage image,
                       plane_->Release("2.0.0", 2, std::string(60'000, 'n')));
  auto document = plane_->Rollout("r1", image);
  ASSERT_OK(plane_->AddRollout(document));
  ASSERT_OK(plane_->Publish());
  device_->PowerOn();
  ASSERT_OK(WaitFor("the device says that it is halted", [&] {
    return device_->Status()["live"].value("waiting_reason", "") == "halted";
  }));
  EXPECT_EQ(device_->RunningVersion(), "factory");
  // Only a version that names the halt lifts it.
  document.set_version(2);
  document.add_lifted_halts(dht::RecordDigest(record));
  ASSERT_OK(plane_->AddRollout(document));
  ASSERT_OK(plane_->Publish());
  ASSERT_OK(WaitFor(
      "the update",
      [&] { return device_->RunningVersion() == "2.0.0" && device_->Idle(); },
      absl::Seconds(40)));
}

TEST_F(PairedTest, T28_WithoutListeningAHaltIsSeenAtThePoll) {
  policy::v1::Rule rule;
  rule.set_name("halt");
  rule.add_principals("operator:" + plane_->fleet().admin().name);
  rule.add_actions("rollout.halt");
  ASSERT_OK(plane_->AllowInstall({rule}));
  ASSERT_OK(plane_->Publish());
  Pair();
  device_->PowerOff();
  device_->Replace("[network]\n",
                   "[network]\nlisten = false\npoll_interval = \"500ms\"\n");
  device_->PowerOn();
  ASSERT_OK(device_->process().WaitForLog("event=online"));
  records::v1::Halt halt;
  halt.set_rollout_id("r1");
  halt.set_counter(1);
  ASSERT_OK_AND_ASSIGN(
      const std::string record,
      plane_->fleet().OperatorRecord(
          plane_->fleet().admin(), records::v1::RECORD_KIND_HALT, "gateway", 1,
          halt.SerializeAsString(), absl::Hours(1)));
  ASSERT_OK(plane_->Store(record));
  ASSERT_OK(WaitFor("the halt is noted",
                    [&] { return !device_->Status()["halts"].empty(); }));
  // What is not halted goes on, by polling alone.
  ASSERT_OK_AND_ASSIGN(const TestImage image,
                       plane_->Release("2.0.0", 2, std::string(60'000, 'n')));
  ASSERT_OK(plane_->AddRollout(plane_->Rollout("r2", image)));
  ASSERT_OK(plane_->Publish());
  ASSERT_OK(WaitFor(
      "the update",
      [&] { return device_->RunningVersion() == "2.0.0" && device_->Idle(); },
      absl::Seconds(40)));
}

TEST_F(PairedTest, T29_WithoutAPlaneAGateOpensOnlyOnAGoodSample) {
  Pair();
  constexpr uint64_t kHalf = uint64_t{1} << 31;
  ASSERT_OK_AND_ASSIGN(const TestImage image,
                       plane_->Release("2.0.0", 2, std::string(60'000, 'n')));
  std::string id;
  for (int i = 0; id.empty(); ++i)
    if (rules::Position("r" + std::to_string(i), plane_->device_id()) >= kHalf)
      id = "r" + std::to_string(i);
  auto document = plane_->Rollout(id, image);
  document.clear_phases();
  document.add_phases()->set_name("first");
  document.mutable_phases(0)->set_threshold(kHalf);
  document.mutable_phases(0)->set_expected_devices(1);
  document.mutable_phases(0)->mutable_gate()->set_soak_ms(1);
  document.add_phases()->set_name("all");
  document.mutable_phases(1)->set_threshold(kHalf * 2);
  document.mutable_phases(1)->set_expected_devices(1);
  document.set_opened_at(absl::ToUnixMillis(absl::Now() - absl::Minutes(1)));
  document.set_unattended(true);
  ASSERT_OK(plane_->AddRollout(document));
  ASSERT_OK(plane_->Publish());
  ASSERT_OK(device_->process().WaitForLog("event=outcome_sample"));
  EXPECT_EQ(device_->RunningVersion(), "factory");
  // Another device of the first phase reports success.
  for (;;) {
    ASSERT_OK_AND_ASSIGN(const TestIdentity other,
                         plane_->fleet().IssueDevice());
    if (rules::Position(id, other.id) >= kHalf) continue;
    records::v1::Outcome outcome;
    outcome.set_rollout_id(id);
    outcome.set_device_id(other.id);
    outcome.set_result(records::v1::OUTCOME_RESULT_SUCCESS);
    outcome.set_counter(1);
    outcome.set_running_sha256(image.target.sha256);
    ASSERT_OK_AND_ASSIGN(const std::string record,
                         plane_->fleet().IdentityRecord(
                             other, records::v1::RECORD_KIND_OUTCOME, id + "/0",
                             1, outcome.SerializeAsString()));
    ASSERT_OK(plane_->Store(record));
    break;
  }
  ASSERT_OK(device_->process().WaitForLog("event=gate_opened_unattended"));
  ASSERT_OK(WaitFor(
      "the update",
      [&] { return device_->RunningVersion() == "2.0.0" && device_->Idle(); },
      absl::Seconds(30)));
}

// Off for months: what the device holds, and what the nodes hold, has run out
// meanwhile. It boots and runs, installs nothing, says so, and goes on by
// itself once somebody signs the fleet's state afresh.
TEST_F(PairedTest, T26_ADeviceThatWasOffForMonthsRunsAndWaitsForFreshMetadata) {
  Pair();
  ASSERT_OK(device_->process().WaitForLog("event=trust_changed"));
  device_->PowerOff();
  ASSERT_OK_AND_ASSIGN(const TestImage image,
                       plane_->Release("2.0.0", 2, std::string(60'000, 'n')));
  ASSERT_OK(plane_->AddRollout(plane_->Rollout("r1", image)));
  const absl::Time end = absl::Now() + absl::Seconds(8);
  plane_->fleet().TimestampsExpireAt(end);
  ASSERT_OK(plane_->Publish());
  ASSERT_OK(WaitFor("all of it to run out",
                    [&] { return absl::Now() > end + absl::Seconds(1); }));
  device_->PowerOn();
  ASSERT_OK(device_->process().WaitForLog("reason=expired_metadata"));
  EXPECT_EQ(device_->RunningVersion(), "factory");
  EXPECT_EQ(device_->Status()["last_refusal"].value("reason", ""),
            "expired_metadata");
  EXPECT_TRUE(device_->Idle());
  EXPECT_TRUE(Outcomes().empty());

  plane_->fleet().TimestampsExpireAt(absl::Now() + absl::Hours(24 * 7));
  ASSERT_OK(plane_->Publish());
  ASSERT_OK(WaitFor(
      "the update", [&] { return device_->RunningVersion() == "2.0.0"; },
      absl::Seconds(60)));
}

TEST_F(PairedTest, T45_ADeviceThatIsCutOffRunsOnAndSaysSo) {
  Pair();
  const auto nodes = [&] {
    return device_->Status()["live"].value("connected_nodes", -1);
  };
  ASSERT_OK(WaitFor("the node to be seen", [&] { return nodes() == 1; }));
  plane_->NodeIsGone();
  ASSERT_OK(WaitFor(
      "the device to see that it is alone", [&] { return nodes() == 0; },
      absl::Seconds(60)));
  EXPECT_TRUE(device_->process().Running());
  EXPECT_EQ(device_->RunningVersion(), "factory");
}

}  // namespace
}  // namespace shoal::testing
