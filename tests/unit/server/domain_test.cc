#include <set>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "server/auth/access.h"
#include "server/fleet/pairing_crypto.h"
#include "server/fleet/revocations.h"
#include "shoal/trust/v1/revocations.pb.h"
#include "signing/verify/fleet_trust.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

using testing::Fails;
using testing::FailsBecause;

class DomainTest : public PlaneTest {
 protected:
  // A rollout of release 2.0 to `count` paired devices, active.
  void ActiveRollout(int count, std::vector<TestDevice>& devices,
                     rollout::v1::CreateRolloutRequest request = {}) {
    EnrollNode("n1");
    release_ = MakeRelease("2.0", "image two");
    for (int i = 0; i < count; ++i) {
      TestDevice device;
      Pair(device);
      devices.push_back(std::move(device));
    }
    request.set_rollout_id("r1");
    request.set_device_type("gateway");
    request.set_release("releases/gateway/2.0");
    ASSERT_OK(rollouts_->Create(request, "operator:ann"));
    ASSERT_OK(driver_->Step());  // nothing to make: signed
    EmptyOutbox();
    ASSERT_OK(driver_->Step());  // published
    ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
    ASSERT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
    ASSERT_GT(rollout.published_at(), 0);
  }
  std::string ReleaseDigest() {
    return *HexDecode(release_.release().sha256());
  }
  store::ReleaseRow release_;
};

TEST_F(DomainTest, T50_TheFirstAnswerWinsAndASecondIsReported) {
  EnrollNode("n1");
  const auto ticket = MakeTicket();
  TestDevice first;
  TestDevice second;
  const std::string answer = Answer(ticket, first);
  ASSERT_OK(Take({answer}));
  ASSERT_OK(Take({Answer(ticket, second), answer}));
  ASSERT_OK_AND_ASSIGN(auto page, devices_->List({}));
  ASSERT_EQ(page.devices.size(), 1u);
  EXPECT_EQ(page.devices[0].public_key(), HexEncode(first.key.public_key()));
  EXPECT_EQ(page.devices[0].labels().at("site"), "north");
  ASSERT_OK_AND_ASSIGN(auto row,
                       store_->Get<store::TicketRow>(
                           kTickets, HexEncode(PairingPlace(ticket.secret()))));
  EXPECT_EQ(row.refused_answers(), 1u);
  EXPECT_EQ(Outbox(records::v1::RECORD_KIND_PAIR_GRANT).size(), 1u);
  EXPECT_EQ(Outbox(records::v1::RECORD_KIND_ASSIGNMENT).size(), 1u);
}

TEST_F(DomainTest, TheGrantOpensOnlyForTheDevice) {
  EnrollNode("n1");
  const auto ticket = MakeTicket();
  TestDevice device;
  const std::string answer = Answer(ticket, device);
  ASSERT_OK(Take({answer}));
  const auto grants = Outbox(records::v1::RECORD_KIND_PAIR_GRANT);
  ASSERT_EQ(grants.size(), 1u);
  ASSERT_OK_AND_ASSIGN(std::string sealed,
                       PairingOpen(ticket.secret(), kGrantDomain,
                                   ticket.fleet_id(), grants[0].payload()));
  EXPECT_THAT(crypto::BoxKey::Generate().Open(sealed),
              FailsBecause("not_decryptable"));
  ASSERT_OK_AND_ASSIGN(std::string plain, device.box.Open(sealed));
  pairing::v1::Grant grant;
  ASSERT_TRUE(grant.ParseFromString(plain));
  EXPECT_EQ(grant.answer_digest(), dht::RecordDigest(answer));
  EXPECT_EQ(grant.assignment().labels().at("site"), "north");
  EXPECT_EQ(grant.directory().nodes_size(), 1);
}

TEST_F(DomainTest, T50_AnExpiredTicketPairsNobody) {
  EnrollNode("n1");
  const auto ticket = MakeTicket();
  TestDevice device;
  const std::string answer = Answer(ticket, device);
  clock_.Advance(absl::Hours(25));
  ASSERT_OK(Take({answer}));
  ASSERT_OK(pairing_->ExpireTickets());
  EXPECT_TRUE(devices_->List({})->devices.empty());
  EXPECT_TRUE(pairing_->OpenPlaces()->empty());
}

TEST_F(DomainTest, T51_AnAnswerWithoutProofOfTheKeyIsRefused) {
  EnrollNode("n1");
  const auto ticket = MakeTicket();
  TestDevice device;
  TestDevice victim;
  // Claims the victim's key, signs with its own.
  TestDevice liar;
  liar.key = device.key.Clone();
  const std::string honest = Answer(ticket, device);
  records::v1::Record record;
  ASSERT_TRUE(record.ParseFromString(honest));
  dht::RecordBody body;
  ASSERT_TRUE(body.ParseFromString(record.body()));
  ASSERT_OK_AND_ASSIGN(std::string plain,
                       PairingOpen(ticket.secret(), kAnswerDomain,
                                   ticket.fleet_id(), body.payload()));
  pairing::v1::Answer answer;
  ASSERT_TRUE(answer.ParseFromString(plain));
  answer.set_device_key(victim.key.public_key());
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_PAIR_ANSWER;
  fields.place = body.place();
  fields.version = 1;
  fields.issued = clock_.WallNow();
  fields.expires = absl::FromUnixSeconds(body.expires());
  fields.credential = body.credential();
  fields.payload = PairingSeal(ticket.secret(), kAnswerDomain,
                               ticket.fleet_id(), answer.SerializeAsString());
  ASSERT_OK(Take({dht::SignRecord(fields, *PairingClaimKey(ticket.secret()),
                                  ticket.fleet_id())}));
  EXPECT_TRUE(devices_->List({})->devices.empty());
  // The ticket is still good for the device itself.
  ASSERT_OK(Take({honest}));
  EXPECT_EQ(devices_->List({})->devices.size(), 1u);
}

TEST_F(DomainTest, UploadsMustBeWhatWasSigned) {
  release::v1::CreateReleaseHeader header;
  header.set_device_type("gateway");
  header.set_version("1.0");
  header.set_metadata(SignFw(2, {{"1.0", "exactly this"}}, fw_));
  const auto upload = [&](std::string_view bytes) -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(auto begun, releases_->Begin(header, "x"));
    SHOAL_RETURN_IF_ERROR(begun->Append(bytes));
    return begun->Finish().status();
  };
  EXPECT_THAT(upload("exactly thiS"), FailsBecause("hash_mismatch"));
  EXPECT_THAT(upload("exactly"), FailsBecause("length_mismatch"));
  EXPECT_THAT(upload("exactly this and more"), FailsBecause("length_mismatch"));
  EXPECT_EQ(trust_->View()->versions.at("fw-gateway"), 1u)
      << "a failed upload publishes nothing";
  EXPECT_TRUE(RealFileSystem().List(dir_.File("plane/incoming"))->empty());
  EXPECT_OK(upload("exactly this"));
  EXPECT_OK(upload("exactly this")) << "again is the same";
  header.set_version("3.0");
  EXPECT_THAT(releases_->Begin(header, "x"), FailsBecause("unknown_target"));
  header.set_metadata(SignFw(3, {{"3.0", "x"}}, keys_->director));
  EXPECT_THAT(releases_->Begin(header, "x"), FailsBecause("bad_signature"));
}

TEST_F(DomainTest, ARolloutIsFinishedWhenAllDevicesRunTheDigest) {
  std::vector<TestDevice> devices;
  ActiveRollout(2, devices);
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 1)}));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_ACTIVE);
  ASSERT_OK(
      Take({OutcomeRecord(devices[1], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 1)}));
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_FINISHED);
  EXPECT_EQ(rollout.phases(0).succeeded(), 2u);
  EXPECT_EQ(rollout.document().state(), rollout::v1::ROLLOUT_STATE_FINISHED);
}

TEST_F(DomainTest, T27_AForgedOrReplayedOutcomeDoesNotCount) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(1000);
  ActiveRollout(3, devices, request);
  // Success with another digest is no success.
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          std::string(32, 'x'), 5)}));
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  ASSERT_EQ(rollout.outcomes_size(), 1);
  EXPECT_FALSE(rollout.outcomes(0).success());
  EXPECT_EQ(rollout.outcomes(0).reason(), "wrong_digest");
  // An older counter does not replace a newer one.
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 4)}));
  EXPECT_FALSE(rollouts_->Get("rollouts/r1")->outcomes(0).success());
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 6)}));
  EXPECT_TRUE(rollouts_->Get("rollouts/r1")->outcomes(0).success());
  // One device in another's name, or with another's credential.
  TestDevice forger;
  forger.id = devices[1].id;
  forger.credential = devices[1].credential;
  ASSERT_OK(Take({OutcomeRecord(
      forger, "r1", records::v1::OUTCOME_RESULT_SUCCESS, ReleaseDigest(), 1)}));
  forger.key = devices[0].key.Clone();
  forger.credential = devices[0].credential;
  ASSERT_OK(Take({OutcomeRecord(
      forger, "r1", records::v1::OUTCOME_RESULT_SUCCESS, ReleaseDigest(), 9)}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 1);
}

TEST_F(DomainTest, T42_AnOutcomeAtAnotherShardDoesNotCount) {
  // Few devices: one place for all of them, and only that one.
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  uint32_t shards = 2;
  while (dht::OutcomeShardOf(devices[0].id, shards) == 0 &&
         shards < dht::kMaxOutcomeShards)
    shards *= 2;
  if (dht::OutcomeShardOf(devices[0].id, shards) == 0) {
    GTEST_SKIP() << "this device's id begins with eight zero bits";
  }
  records::v1::Outcome outcome;
  outcome.set_rollout_id("r1");
  outcome.set_device_id(devices[0].id);
  outcome.set_result(records::v1::OUTCOME_RESULT_SUCCESS);
  outcome.set_running_sha256(ReleaseDigest());
  outcome.set_counter(1);
  ASSERT_OK(
      Take({DeviceRecord(devices[0], records::v1::RECORD_KIND_OUTCOME,
                         writer_->places().Outcome("r1", devices[0].id, shards),
                         1, outcome.SerializeAsString())}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 0);
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 2)}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 1);
}

TEST_F(DomainTest, TooManyFailuresHaltTheRollout) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(500);
  ActiveRollout(2, devices, request);
  ASSERT_OK(Take(
      {OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_ROLLED_BACK,
                     std::string(32, 'o'), 1)}));
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_HALTED);
  EXPECT_EQ(rollout.document().version(), 2u);
  EXPECT_EQ(rollout.document().state(), rollout::v1::ROLLOUT_STATE_HALTED);
}

TEST_F(DomainTest, RefusalsAreShownButAreNoFailures) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(1);
  ActiveRollout(2, devices, request);
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_REFUSED,
                          std::string(32, 'o'), 1)}));
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  EXPECT_EQ(rollout.phases(0).refused(), 1u);
  EXPECT_EQ(rollout.phases(0).failed(), 0u);
  ASSERT_EQ(rollout.outcomes_size(), 1);
  EXPECT_TRUE(rollout.outcomes(0).refused());
  EXPECT_EQ(rollout.outcomes(0).reason(), "sick");
  ASSERT_OK(
      Take({OutcomeRecord(devices[1], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 1)}));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_FINISHED)
      << "every device has answered";
}

TEST_F(DomainTest, ANewerRolloutSupersedesWhatItCovers) {
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  const auto start = [&](const std::string& id, bool all) {
    rollout::v1::CreateRolloutRequest request;
    request.set_rollout_id(id);
    request.set_release("releases/gateway/2.0");
    if (all) {
      request.mutable_selector()->set_all(true);
    } else {
      request.mutable_selector()->add_device_ids(HexEncode(devices[0].id));
    }
    ASSERT_OK(rollouts_->Create(request, "operator:ann"));
    ASSERT_OK(driver_->Step());
    EmptyOutbox();
    ASSERT_OK(driver_->Step());  // published
    ASSERT_OK(driver_->Step());  // what was there before looks again
  };
  // One device only: the others still wait for the first.
  start("r2", false);
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_ACTIVE);
  start("r3", true);
  for (const char* old : {"rollouts/r1", "rollouts/r2"}) {
    ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get(old));
    EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_FINISHED) << old;
    EXPECT_EQ(rollout.message(), "superseded by rollouts/r3");
    EXPECT_EQ(rollout.document().version(), 2u);
    EXPECT_EQ(rollout.document().state(), rollout::v1::ROLLOUT_STATE_FINISHED);
  }
  EXPECT_EQ(rollouts_->Get("rollouts/r3")->state(),
            rollout::v1::ROLLOUT_STATE_ACTIVE);
  // Of those that ended the metadata keeps the newest.
  for (int i = 4; i <= 9; ++i) start("r" + std::to_string(i), true);
  start("r10", true);
  EXPECT_OK(trust_->FindTarget("director/gateway/rollout/r10"));
  EXPECT_OK(trust_->FindTarget("director/gateway/rollout/r5"));
  EXPECT_THAT(trust_->FindTarget("director/gateway/rollout/r1"),
              FailsBecause("unknown_target"));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_FINISHED)
      << "the plane itself forgets nothing";
}

TEST_F(DomainTest, AManualGateWaitsForApproval) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.add_phases()->set_count(1);
  request.mutable_phases(0)->mutable_gate()->set_manual(true);
  request.add_phases()->set_percent(100);
  ActiveRollout(2, devices, request);
  for (const TestDevice& device : devices) {
    ASSERT_OK(
        Take({OutcomeRecord(device, "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                            ReleaseDigest(), 1)}));
  }
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.document().open_phase(), 0u);
  EXPECT_EQ(rollout.message(), "needs_approval");
  EXPECT_THAT(rollouts_->Approve("rollouts/r1", 2, "", "operator:ann"),
              FailsBecause("not_waiting"));
  EXPECT_THAT(rollouts_->Approve("rollouts/r1", 1, "0", "operator:ann"),
              FailsBecause("stale_etag"));
  ASSERT_OK(
      rollouts_->Approve("rollouts/r1", 1, rollout.etag(), "operator:ann"));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->document().open_phase(), 1u);
}

TEST_F(DomainTest, T28_OnlyAnOperatorsHaltHalts) {
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  ASSERT_OK(Take({HaltRecord(crypto::SigningKey::Generate(), "r1"),
                  HaltRecord(keys_->director, "r1")}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_ACTIVE);
  ASSERT_OK(Take({HaltRecord(operator_, "r1")}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_HALTED);
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->document().state(),
            rollout::v1::ROLLOUT_STATE_HALTED);
}

TEST_F(DomainTest, RequestIdsMakeCreationIdempotent) {
  EnrollNode("n1");
  MakeRelease("2.0", "image two");
  rollout::v1::CreateRolloutRequest request;
  request.set_release("releases/gateway/2.0");
  request.set_request_id("once");
  ASSERT_OK_AND_ASSIGN(auto first, rollouts_->Create(request, "operator:ann"));
  ASSERT_OK_AND_ASSIGN(auto again, rollouts_->Create(request, "operator:ann"));
  EXPECT_EQ(first.name(), again.name());
  EXPECT_EQ(rollouts_->List(0, "")->rollouts.size(), 1u);
  request.set_request_id("");
  request.set_validate_only(true);
  ASSERT_OK(rollouts_->Create(request, "operator:ann"));
  EXPECT_EQ(rollouts_->List(0, "")->rollouts.size(), 1u);
}

TEST_F(DomainTest, TelemetryIsKeptOnceAndGapsAreProven) {
  EnrollNode("n1");
  TestDevice device;
  Pair(device);
  const auto record = [&](uint64_t sequence, double value) {
    records::v1::TelemetryBatch batch;
    batch.set_device_id(device.id);
    batch.set_stream(1);
    batch.set_sequence(sequence);
    auto* sample = batch.add_samples();
    sample->set_name("cpu.load1");
    sample->set_number(value);
    return DeviceRecord(device, records::v1::RECORD_KIND_TELEMETRY,
                        writer_->places().Telemetry(device.id, 1), sequence,
                        *crypto::SealTo(keys_->telemetry.public_key(),
                                        batch.SerializeAsString()));
  };
  const std::string first = record(1, 0.5);
  ASSERT_OK(Take({first, record(3, 0.7)}));
  ASSERT_OK(Take({first, record(1, 99)}));
  ASSERT_OK_AND_ASSIGN(auto status, telemetry_->Status());
  ASSERT_EQ(status.streams_size(), 1);
  EXPECT_EQ(status.streams(0).batches(), 2u);
  EXPECT_EQ(status.streams(0).highest_sequence(), 3u);
  EXPECT_EQ(status.streams(0).missing(), 1u);
  EXPECT_EQ(status.streams(0).duplicates(), 0u);
  std::vector<double> values;
  ASSERT_OK(telemetry_->Read(0, device.id, [&](const auto& response) {
    values.push_back(response.samples(0).number());
    return true;
  }));
  EXPECT_EQ(values, (std::vector<double>{0.5, 0.7}));
}

TEST_F(DomainTest, T52_ADecommissionedDeviceIsRefused) {
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  ASSERT_OK(devices_->Decommission("devices/" + HexEncode(devices[0].id),
                                   "lost", "operator:ann"));
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 1)}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 0);
}

TEST_F(DomainTest, T52_TheFleetLearnsOfADecommissionedDevice) {
  Revocations revocations(*store_, *trust_, *publisher_);
  devices_->OnDecommissioned([&] { return revocations.Publish().status(); });
  std::vector<TestDevice> devices;
  ActiveRollout(2, devices);
  EXPECT_FALSE(*revocations.Publish()) << "nothing to say yet";
  const auto listed = [&]() -> std::set<std::string> {
    trust::v1::DeviceRevocations list;
    const auto tree = trust_->Tree();
    EXPECT_OK(tree);
    const auto target = trust_->FindTarget("director/gateway/revoked/devices");
    EXPECT_OK(target);
    if (!tree.ok() || !target.ok()) return {};
    EXPECT_TRUE(
        list.ParseFromString(tree->at(*signing::TargetFilePath(*target))));
    EXPECT_EQ(list.device_type(), "gateway");
    return {list.device_ids().begin(), list.device_ids().end()};
  };
  for (size_t i = 0; i < devices.size(); ++i) {
    const std::string name = "devices/" + HexEncode(devices[i].id);
    EmptyOutbox();
    ASSERT_OK(devices_->Decommission(name, "lost", "operator:ann"));
    EXPECT_EQ(listed().size(), i + 1);
    EXPECT_TRUE(listed().contains(devices[i].id));
    EXPECT_FALSE(Outbox(records::v1::RECORD_KIND_DOCUMENT).empty())
        << "the list is a record";
    EmptyOutbox();
    ASSERT_OK(devices_->Decommission(name, "lost", "operator:ann"));
    EXPECT_TRUE(Outbox(records::v1::RECORD_KIND_DOCUMENT).empty())
        << "once is enough";
  }
  // After a start nothing is signed again.
  Revocations restarted(*store_, *trust_, *publisher_);
  EXPECT_FALSE(*restarted.Publish());
}

TEST_F(DomainTest, T55_UnknownKeysAndMissingRightsAreRefused) {
  Access access(*store_, *trust_);
  EXPECT_THAT(access.Identify(""),
              Fails(absl::StatusCode::kUnauthenticated, "no_certificate"));
  EXPECT_THAT(access.Identify(std::string(32, '\x01')),
              Fails(absl::StatusCode::kUnauthenticated, "unknown_operator"));
  ASSERT_OK_AND_ASSIGN(Caller ann,
                       access.Identify(*HexDecode(std::string(64, 'a'))));
  EXPECT_EQ(ann.name, "ann");
  EXPECT_OK(access.Check(ann, "rollout.create"));
  rules::DeviceFacts device{std::string(16, 'd'), "gateway", {}};
  EXPECT_THAT(access.Check(ann, "command.run:reboot", &device),
              Fails(absl::StatusCode::kPermissionDenied, "permission_denied"));
}

}  // namespace
}  // namespace shoal::server
