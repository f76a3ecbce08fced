// A device in its fleet: pairing, rollouts, policy, commands, halts and
// telemetry over a real network, with the real programs.
#include <limits>
#include <set>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "rules/position.h"
#include "tests/integration/agent/device.h"
#include "tests/integration/agent/test_plane.h"

namespace shoal::testing {
namespace {

class PairedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(plane_, TestPlane::Start(dir_));
    ASSERT_OK(plane_->AllowInstall());
    ASSERT_OK(plane_->Publish());
    WriteText(dir_.File("factory"), std::string(50'000, 'f'));
    device_ = std::make_unique<Device>(dir_, "device");
  }
  void Pair() {
    ASSERT_OK_AND_ASSIGN(const std::string ticket, plane_->Ticket());
    WriteText(dir_.File("ticket"), ticket);
    ASSERT_OK(device_->Init({"--image", dir_.File("factory"), "--ticket-file",
                             dir_.File("ticket")}));
    device_->Replace("interval = \"60s\"", "interval = \"200ms\"");
    device_->Configure(
        "\n[commands.greet]\nprogram = \"/bin/echo\"\n"
        "arguments = [\"hello\", \"{0}\"]\ntypes = [\"identifier\"]\n"
        "\n[commands.secret]\nprogram = \"/bin/echo\"\narguments = [\"no\"]\n");
    device_->PowerOn();
    ASSERT_OK(plane_->Grant(plane_->fleet().director_key()));
    ASSERT_OK(device_->process().WaitForLog("event=paired"));
  }
  std::vector<records::v1::Outcome> Outcomes() {
    std::vector<records::v1::Outcome> outcomes;
    for (const auto& record :
         plane_->Received(records::v1::RECORD_KIND_OUTCOME))
      outcomes.emplace_back().ParseFromString(record.body.payload());
    return outcomes;
  }
  // Sends a command as `op` and waits for its result.
  absl::StatusOr<records::v1::CommandResult> Command(
      const TestOperator& op, const std::string& name,
      const std::vector<std::string>& arguments) {
    std::string box_key;
    SHOAL_RETURN_IF_ERROR(WaitFor("the device's report", [&] {
      for (const auto& record :
           plane_->Received(records::v1::RECORD_KIND_DEVICE_REPORT)) {
        records::v1::DeviceReport report;
        report.ParseFromString(record.body.payload());
        box_key = report.box_key();
      }
      return !box_key.empty();
    }));
    const crypto::BoxKey reply = crypto::BoxKey::Generate();
    records::v1::Command command;
    command.set_id(crypto::RandomBytes(16));
    command.set_device_id(plane_->device_id());
    command.set_operator_key(op.key.public_key());
    command.set_name(name);
    for (const std::string& argument : arguments)
      command.add_arguments(argument);
    command.set_issued(absl::ToUnixMillis(absl::Now()));
    command.set_expires(absl::ToUnixMillis(absl::Now() + absl::Minutes(5)));
    command.set_reply_key(reply.public_key());
    SHOAL_ASSIGN_OR_RETURN(
        const std::string sealed,
        crypto::SealTo(box_key, command.SerializeAsString()));
    SHOAL_ASSIGN_OR_RETURN(
        const std::string record,
        plane_->fleet().OperatorRecord(op, records::v1::RECORD_KIND_COMMAND,
                                       HexEncode(plane_->device_id()),
                                       ++command_version_, sealed));
    SHOAL_RETURN_IF_ERROR(plane_->Store(record));
    const std::string place = plane_->places().CommandResult(command.id());
    std::string payload;
    SHOAL_RETURN_IF_ERROR(WaitFor("the result", [&] {
      for (const auto& one :
           plane_->Received(records::v1::RECORD_KIND_COMMAND_RESULT))
        if (one.body.place() == place) payload = one.body.payload();
      return !payload.empty();
    }));
    SHOAL_ASSIGN_OR_RETURN(const std::string plain, reply.Open(payload));
    records::v1::CommandResult result;
    result.ParseFromString(plain);
    return result;
  }

  // By a key that nobody knows.
  absl::Status Plant(records::v1::RecordKind kind, const std::string& name,
                     const std::string& payload) {
    dht::RecordFields fields;
    fields.kind = kind;
    fields.place = plane_->places().Place(kind, name);
    fields.version = std::numeric_limits<uint64_t>::max();
    fields.issued = absl::Now();
    fields.expires = absl::Now() + absl::Hours(24);
    fields.payload = payload;
    return plane_->Store(dht::SignRecord(fields, crypto::SigningKey::Generate(),
                                         plane_->fleet().fleet_id()));
  }

  TempDir dir_;
  std::unique_ptr<TestPlane> plane_;
  std::unique_ptr<Device> device_;
  uint64_t command_version_ = 0;
};

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

TEST_F(PairedTest, T51_GrantByAStrangerIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string ticket, plane_->Ticket());
  WriteText(dir_.File("ticket"), ticket);
  ASSERT_OK(device_->Init({"--ticket-file", dir_.File("ticket")}));
  device_->PowerOn();
  // Whoever saw the ticket can make a grant, but is no director.
  const auto stranger = crypto::SigningKey::Generate();
  // The node itself refuses it: it knows the directors.
  EXPECT_FALSE(plane_->Grant(stranger).ok());
  ASSERT_OK(plane_->Grant(plane_->fleet().director_key()));
  ASSERT_OK(device_->process().WaitForLog("event=paired"));
}

// One node that has gone over is not enough to keep devices out.
TEST_F(PairedTest, T41_T51_JunkWhereMetadataIsLookedForStopsNoPairing) {
  for (const char* name : {"root/1", "root/2"})
    ASSERT_OK(Plant(records::v1::RECORD_KIND_METADATA, name, "junk"));
  records::v1::Head head;
  head.set_timestamp("junk");
  ASSERT_OK(Plant(records::v1::RECORD_KIND_HEAD, "gateway",
                  head.SerializeAsString()));
  Pair();
}

TEST_F(PairedTest, T50_ExpiredTicketIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string ticket,
                       plane_->Ticket(-absl::Seconds(5)));
  WriteText(dir_.File("ticket"), ticket);
  ASSERT_OK(device_->Init({"--ticket-file", dir_.File("ticket")}));
  device_->PowerOn();
  ASSERT_OK(device_->process().WaitForLog("reason=ticket_expired"));
  EXPECT_EQ(device_->Status()["last_refusal"]["reason"], "ticket_expired");
}

TEST_F(PairedTest, PairingGoesOnAfterARestart) {
  ASSERT_OK_AND_ASSIGN(const std::string ticket, plane_->Ticket());
  WriteText(dir_.File("ticket"), ticket);
  ASSERT_OK(device_->Init({"--ticket-file", dir_.File("ticket")}));
  device_->PowerOn();
  ASSERT_OK(device_->process().WaitForLog("event=pairing_answered"));
  device_->PowerOff();
  device_->PowerOn();
  ASSERT_OK(plane_->Grant(plane_->fleet().director_key()));
  ASSERT_OK(device_->process().WaitForLog("event=paired"));
  EXPECT_EQ(plane_->Received(records::v1::RECORD_KIND_PAIR_ANSWER).size(), 1u);
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

TEST_F(PairedTest, T01_TamperedMetadataIsRefusedAndTheDeviceGoesOn) {
  Pair();
  ASSERT_OK(device_->process().WaitForLog("event=online"));
  std::string bytes =
      ReadText(plane_->fleet().repository() + "/metadata/timestamp.json");
  // A higher version than any, with signatures that no longer fit.
  const size_t at = bytes.find("\"version\":");
  ASSERT_NE(at, std::string::npos);
  const size_t last = bytes.rfind("\"version\":");
  bytes.insert(last + 10, "9");
  records::v1::Head head;
  head.set_timestamp(bytes);
  ASSERT_OK_AND_ASSIGN(
      const std::string record,
      plane_->fleet().DirectorRecord(records::v1::RECORD_KIND_HEAD, "gateway",
                                     1'000'000, head.SerializeAsString()));
  ASSERT_OK(plane_->Store(record));
  ASSERT_OK(device_->process().WaitForLog(
      "event=metadata_refused reason=bad_signature"));
  EXPECT_EQ(device_->Status()["last_refusal"]["case"], "metadata");
  EXPECT_TRUE(device_->process().Running());
}

// A storage node that has gone over puts words that were once true where new
// ones will be looked for, under higher numbers than anybody's. Others still
// have the new ones, and those are what counts.
class HostileNodeTest : public PairedTest {
 protected:
  void SetUp() override {
    PairedTest::SetUp();
    Pair();
    ASSERT_OK(device_->process().WaitForLog("event=online"));
    ASSERT_OK(NewPolicyArrives());
  }
  std::string File(const std::string& name) {
    return ReadText(plane_->fleet().repository() + "/metadata/" + name);
  }
  std::string Newest(const std::string& role) {
    return File(std::to_string(plane_->fleet().versions().at(role)) + "." +
                role + ".json");
  }
  std::string NextOf(const std::string& role) {
    return role + "/" + std::to_string(plane_->fleet().versions().at(role) + 1);
  }
  absl::Status NewPolicyArrives() {
    SHOAL_RETURN_IF_ERROR(plane_->AllowInstall());
    SHOAL_RETURN_IF_ERROR(plane_->Publish());
    const uint64_t version = plane_->fleet().policy().version();
    return WaitFor("the new policy", [&] {
      for (const auto& record :
           plane_->Received(records::v1::RECORD_KIND_DEVICE_REPORT)) {
        records::v1::DeviceReport report;
        if (report.ParseFromString(record.body.payload()) &&
            report.policy_version() == version)
          return true;
      }
      return false;
    });
  }
};

TEST_F(HostileNodeTest, T08_T41_AnOldRootInTheNextOnesPlace) {
  ASSERT_OK(
      Plant(records::v1::RECORD_KIND_METADATA, "root/2", File("1.root.json")));
  EXPECT_OK(NewPolicyArrives());
}

TEST_F(HostileNodeTest, T06_T41_AnOldSnapshotInTheNextOnesPlace) {
  ASSERT_OK(Plant(records::v1::RECORD_KIND_METADATA, NextOf("snapshot"),
                  Newest("snapshot")));
  EXPECT_OK(NewPolicyArrives());
}

TEST_F(HostileNodeTest, T05_T41_AnOldTimestampUnderTheHighestNumber) {
  records::v1::Head head;
  head.set_timestamp(File("timestamp.json"));
  ASSERT_OK(Plant(records::v1::RECORD_KIND_HEAD, "gateway",
                  head.SerializeAsString()));
  EXPECT_OK(NewPolicyArrives());
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
