#include <set>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "server/auth/access.h"
#include "server/fleet/revocations.h"
#include "shoal/trust/v1/revocations.pb.h"
#include "signing/verify/fleet_trust.h"
#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

using testing::Fails;
using testing::FailsBecause;

class DomainTest : public RolloutPlaneTest {};

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

// Whoever is refused may call as often as it likes; each row costs an fsync.
TEST_F(DomainTest, RefusalsAreWrittenAtAPaceAndTheNewestAreKept) {
  Access access(*store_, *trust_);
  ASSERT_OK_AND_ASSIGN(Caller ann,
                       access.Identify(*HexDecode(std::string(64, 'a'))));
  uint64_t change = 0;
  {
    Transaction tx(*store_);
    tx.Audit("operator:ann", "group.create", "groups/lab", "ok");
    ASSERT_OK_AND_ASSIGN(change, tx.CurrentSequence(kAudit));
    ASSERT_OK(tx.Commit());
  }
  const rules::DeviceFacts device{std::string(16, 'd'), "gateway", {}};
  const auto refuse = [&] {
    EXPECT_THAT(access.Check(ann, "command.run:reboot", &device),
                FailsBecause("permission_denied"));
  };
  std::string last;
  const auto written = [&] {
    int count = 0;
    EXPECT_OK(store_->Scan<store::AuditRow>(
        kAudit, "", "", [&](std::string_view, const store::AuditRow& row) {
          if (row.result() != "permission_denied") return true;
          ++count;
          last = row.detail();
          return true;
        }));
    return count;
  };
  for (int i = 0; i < 50; ++i) refuse();
  EXPECT_EQ(written(), 10);
  clock_.Advance(absl::Minutes(1));
  refuse();
  EXPECT_EQ(written(), 11);
  EXPECT_NE(last.find("40 more before it were not written"), std::string::npos)
      << last;
  for (int i = 0; i < 1'100; ++i) {
    clock_.Advance(absl::Minutes(1));
    refuse();
  }
  EXPECT_EQ(written(), 1'000);
  // What changed something is kept.
  ASSERT_OK_AND_ASSIGN(const auto kept, store_->Get<store::AuditRow>(
                                            kAudit, SequenceKey(change)));
  EXPECT_EQ(kept.action(), "group.create");
}

}  // namespace
}  // namespace shoal::server
