// A device replaces its key: what the plane takes for proof, and what it does
// with the key that was replaced.
#include "signing/verify/key_change.h"

#include <limits>

#include "common/bytes.h"
#include "common/crypto/key_certificate.h"
#include "server/fleet/credentials.h"
#include "server/fleet/revocations.h"
#include "shoal/trust/v1/revocations.pb.h"
#include "signing/sign/builder.h"
#include "signing/verify/credential.h"
#include "signing/verify/entry_credential.h"
#include "signing/verify/fleet_trust.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

using records::v1::KeyChange;
using testing::FailsBecause;

class KeyChangeTest : public PlaneTest {
 protected:
  void SetUp() override {
    PlaneTest::SetUp();
    EnrollNode("n1");
    Pair(device_);
    EmptyOutbox();
    credentials_ =
        std::make_unique<Credentials>(*store_, *keys_, *writer_, *writers_);
    next_.id = device_.id;
  }
  std::string Report(const TestDevice& device, uint64_t version,
                     const std::vector<KeyChange>& changes = {}) {
    records::v1::DeviceReport report;
    report.set_device_type("gateway");
    report.set_box_key(device_.box.public_key());
    for (const KeyChange& change : changes) *report.add_key_changes() = change;
    return DeviceRecord(device, records::v1::RECORD_KIND_DEVICE_REPORT,
                        writer_->places().DeviceReport(device.id), version,
                        report.SerializeAsString());
  }
  // As the plane takes a report in (plane_wiring.cc).
  absl::Status Deliver(const std::string& bytes) {
    SHOAL_ASSIGN_OR_RETURN(const dht::VerifiedRecord record,
                           intake_->Verify(bytes));
    Transaction tx(*store_);
    SHOAL_RETURN_IF_ERROR(credentials_->OnKeyChange(tx, record));
    SHOAL_RETURN_IF_ERROR(devices_->OnReport(tx, record));
    SHOAL_RETURN_IF_ERROR(credentials_->OnReport(tx, record));
    return tx.Commit();
  }
  KeyChange Change(const TestDevice& from, const TestDevice& to) {
    return signing::SignKeyChange(from.key, to.key, writer_->fleet_id(),
                                  device_.id);
  }
  store::DeviceRow Row() {
    return *store_->Get<store::DeviceRow>(kDevices, HexEncode(device_.id));
  }
  // The key that the plane takes for the device's.
  std::string KeyInForce() { return *HexDecode(Row().device().public_key()); }
  pairing::v1::Grant Offered() {
    pairing::v1::Grant grant;
    const auto offers = Outbox(records::v1::RECORD_KIND_PAIR_GRANT);
    EXPECT_FALSE(offers.empty());
    if (offers.empty()) return grant;
    const auto plain = device_.box.Open(offers.back().payload());
    EXPECT_OK(plain);
    EXPECT_TRUE(grant.ParseFromString(*plain));
    return grant;
  }
  bool OfferStands() {
    const auto row = store_->Get<store::PublicationRow>(
        kPublications, PublicationKey(records::v1::RECORD_KIND_PAIR_GRANT,
                                      HexEncode(device_.id)));
    return row.ok() && row->keep();
  }
  // What somebody with the device CA's key can make.
  records::v1::Credential Minted(const std::string& public_key) {
    records::v1::CredentialBody body;
    body.set_public_key(public_key);
    body.set_subject_id(device_.id);
    body.set_kind(records::v1::WRITER_CLASS_DEVICE);
    body.set_not_after(absl::ToUnixSeconds(clock_.WallNow() + absl::Hours(24)));
    return *signing::IssueCredential(keys_->device_ca, writer_->fleet_id(),
                                     body);
  }
  void AskAndTake() {
    ASSERT_OK(Deliver(Report(device_, 1, {Change(device_, next_)})));
    next_.credential = Offered().credential();
  }

  TestDevice device_;
  TestDevice next_;  // the same device with its next key
  std::unique_ptr<Credentials> credentials_;
};

TEST_F(KeyChangeTest, AKeyIsCertifiedWhenAskedForAndInForceWhenUsed) {
  ASSERT_OK(Deliver(Report(device_, 1, {Change(device_, next_)})));
  const pairing::v1::Grant grant = Offered();
  ASSERT_OK_AND_ASSIGN(const auto body,
                       signing::VerifyCredential(
                           grant.credential(), {keys_->device_ca.public_key()},
                           writer_->fleet_id(), clock_.WallNow()));
  EXPECT_EQ(body.public_key(), next_.key.public_key());
  EXPECT_EQ(body.subject_id(), device_.id);
  EXPECT_OK(crypto::CheckKeyCertificate(grant.certificate(),
                                        keys_->device_ca.public_key(),
                                        next_.key.public_key()));
  // Until it is used, the old one is the device's.
  EXPECT_EQ(KeyInForce(), device_.key.public_key());
  ASSERT_OK(Deliver(Report(device_, 2, {Change(device_, next_)})));
  EXPECT_EQ(Row().report_version(), 2u);
  EXPECT_TRUE(OfferStands());

  next_.credential = grant.credential();
  const std::string before = Report(device_, 3);
  clock_.Advance(absl::Minutes(5));
  ASSERT_OK(Deliver(Report(next_, 4, {Change(device_, next_)})));
  EXPECT_EQ(KeyInForce(), next_.key.public_key());
  EXPECT_EQ(Row().device().fingerprint(),
            signing::FingerprintOf(next_.key.public_key()));
  EXPECT_EQ(Row().report_version(), 4u);
  EXPECT_FALSE(OfferStands());

  // What the old key signed before is not lost; what it signs now is nothing.
  EXPECT_OK(intake_->Verify(before));
  clock_.Advance(absl::Minutes(5));
  EXPECT_THAT(intake_->Verify(Report(device_, 5)),
              FailsBecause("superseded_key"));
  // Nor after a restart.
  ASSERT_OK_AND_ASSIGN(const auto again, Writers::Open(*store_, *trust_));
  records::v1::Record record;
  dht::RecordBody late;
  ASSERT_TRUE(record.ParseFromString(Report(device_, 5)));
  ASSERT_TRUE(late.ParseFromString(record.body()));
  EXPECT_THAT(again->Resolve(late, clock_.WallNow()),
              FailsBecause("superseded_key"));
  // An old date is no way around for long.
  late.set_issued(0);
  EXPECT_OK(again->Resolve(late, clock_.WallNow()));
  EXPECT_THAT(again->Resolve(
                  late, clock_.WallNow() + kSupersededGrace + absl::Hours(1)),
              FailsBecause("superseded_key"));
}

TEST_F(KeyChangeTest, T52_T56_TheFleetLearnsWhichKeyWasReplaced) {
  Revocations revocations(*store_, *trust_, *publisher_);
  constexpr absl::Duration kShort = absl::Hours(24);
  credentials_ = std::make_unique<Credentials>(*store_, *keys_, *writer_,
                                               *writers_, kShort);
  int told = 0;
  credentials_->OnSuperseded([&] { ++told; });
  const auto listed = [&] {
    trust::v1::DeviceRevocations list;
    const auto tree = trust_->Tree();
    const auto target =
        trust_->FindTarget(signing::DeviceRevocationsPath("gateway"));
    if (tree.ok() && target.ok()) {
      EXPECT_TRUE(
          list.ParseFromString(tree->at(*signing::TargetFilePath(*target))));
    }
    return list;
  };
  ASSERT_NO_FATAL_FAILURE(AskAndTake());
  EXPECT_FALSE(*revocations.Publish()) << "it is not used yet";
  EXPECT_EQ(told, 0);
  const std::string given_up = device_.key.public_key();
  const KeyChange change = Change(device_, next_);
  device_.key = std::move(next_.key);
  device_.credential = next_.credential;
  ASSERT_OK(Deliver(Report(device_, 2, {change})));
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(*revocations.Publish());
  ASSERT_EQ(listed().superseded_size(), 1);
  EXPECT_EQ(listed().superseded(0).key_digest(), signing::KeyDigest(given_up));
  EXPECT_EQ(listed().superseded(0).since(), Row().superseded(0).until());
  EXPECT_EQ(listed().device_ids_size(), 0);

  // The newest first, and of one device no more than a few.
  uint64_t version = 3;
  for (int i = 0; i < kMaxListedPerDevice; ++i) {
    clock_.Advance(absl::Minutes(11));
    TestDevice after;
    after.id = device_.id;
    EmptyOutbox();
    ASSERT_OK(Deliver(Report(device_, version++, {Change(device_, after)})));
    after.credential = Offered().credential();
    const std::string before = device_.key.public_key();
    device_.key = std::move(after.key);
    device_.credential = after.credential;
    ASSERT_OK(Deliver(Report(device_, version++)));
    ASSERT_TRUE(*revocations.Publish());
    EXPECT_EQ(listed().superseded(0).key_digest(), signing::KeyDigest(before));
  }
  EXPECT_EQ(listed().superseded_size(), kMaxListedPerDevice);
  EXPECT_FALSE(*Revocations(*store_, *trust_, *publisher_).Publish())
      << "the same after a restart";

  // Off the list with the last credential that could be valid.
  clock_.Advance(kShort + absl::Hours(1));
  TestDevice last;
  Pair(last);
  EmptyOutbox();
  ASSERT_OK(devices_->Decommission("devices/" + HexEncode(last.id), "gone",
                                   "operator:ann"));
  EXPECT_TRUE(*revocations.Publish());
  EXPECT_EQ(listed().superseded_size(), 0);
  EXPECT_EQ(listed().device_ids_size(), 1);
}

TEST_F(KeyChangeTest, ADateInTheFutureKeepsNoOldKeyAlive) {
  ASSERT_NO_FATAL_FAILURE(AskAndTake());
  const std::string early = Report(device_, 9);
  TestDevice ahead = std::move(next_);
  clock_.Advance(absl::Hours(24 * 90));
  const std::string report = Report(ahead, 2);
  clock_.Advance(-absl::Hours(24 * 90));
  ASSERT_OK(Deliver(report));
  EXPECT_OK(intake_->Verify(early));
  records::v1::Record record;
  dht::RecordBody body;
  ASSERT_TRUE(record.ParseFromString(early));
  ASSERT_TRUE(body.ParseFromString(record.body()));
  clock_.Advance(kSupersededGrace + absl::Minutes(1));
  EXPECT_THAT(writers_->Resolve(body, clock_.WallNow()),
              FailsBecause("superseded_key"));
}

TEST_F(KeyChangeTest, T20_AStolenServerCantSwapADevicesKey) {
  TestDevice thief;
  thief.id = device_.id;
  thief.credential = Minted(thief.key.public_key());
  const auto unchanged = [&] {
    EXPECT_EQ(KeyInForce(), device_.key.public_key());
    EXPECT_TRUE(Row().next_key().empty());
  };
  // A credential by the fleet's own CA, and no word of the device;
  ASSERT_OK(Deliver(Report(thief, 7)));
  unchanged();
  // a change that only the thief's key signs;
  KeyChange forged = Change(device_, thief);
  forged.set_old_signature(forged.new_signature());
  ASSERT_OK(Deliver(Report(thief, 8, {forged})));
  unchanged();
  // the device's own change to another key, relabelled;
  forged = Change(device_, next_);
  forged.set_new_key(thief.key.public_key());
  ASSERT_OK(Deliver(Report(thief, 9, {forged})));
  unchanged();
  // a change of another device's.
  TestDevice other;
  Pair(other);
  forged = signing::SignKeyChange(other.key, thief.key, writer_->fleet_id(),
                                  other.id);
  ASSERT_OK(Deliver(Report(thief, 10, {forged})));
  unchanged();
}

TEST_F(KeyChangeTest, T52_ADecommissionedDeviceCantRotateItsKeyBackIn) {
  ASSERT_NO_FATAL_FAILURE(AskAndTake());
  ASSERT_OK(devices_->Decommission("devices/" + HexEncode(device_.id), "gone",
                                   "operator:ann"));
  EXPECT_FALSE(OfferStands());
  // Neither with the key that it was about to use, nor with the old one, nor
  // after a restart of the plane.
  EXPECT_THAT(Deliver(Report(next_, 5, {Change(device_, next_)})),
              FailsBecause("revoked"));
  EXPECT_THAT(Deliver(Report(device_, 6, {Change(device_, next_)})),
              FailsBecause("revoked"));
  ASSERT_OK_AND_ASSIGN(const auto again, Writers::Open(*store_, *trust_));
  for (const TestDevice* one : {&device_, &next_}) {
    records::v1::Record record;
    dht::RecordBody body;
    ASSERT_TRUE(record.ParseFromString(Report(*one, 7)));
    ASSERT_TRUE(body.ParseFromString(record.body()));
    EXPECT_THAT(again->Resolve(body, clock_.WallNow()),
                FailsBecause("revoked"));
  }
  EXPECT_EQ(KeyInForce(), device_.key.public_key());
}

TEST_F(KeyChangeTest, T52_ADeviceThatLeftTakesNoFormerKeyBack) {
  ASSERT_NO_FATAL_FAILURE(AskAndTake());
  ASSERT_OK(Deliver(Report(next_, 2, {Change(device_, next_)})));
  ASSERT_OK(devices_->Decommission("devices/" + HexEncode(device_.id), "gone",
                                   "operator:ann"));
  for (const TestDevice* one : {&device_, &next_})
    EXPECT_THAT(intake_->Verify(Report(*one, 9)), FailsBecause("revoked"));
}

TEST_F(KeyChangeTest, APlaneThatWasSetBackFollowsTheDevice) {
  // It knows nothing of the change: the store is from before.
  next_.credential = Minted(next_.key.public_key());
  TestDevice third;
  third.id = device_.id;
  ASSERT_OK(Deliver(
      Report(next_, 30, {Change(device_, next_), Change(next_, third)})));
  EXPECT_EQ(KeyInForce(), next_.key.public_key());
  // And gives what it asks for now.
  EXPECT_EQ(Row().next_key(), third.key.public_key());
  third.credential = Offered().credential();
  clock_.Advance(absl::Minutes(2));
  ASSERT_OK(Deliver(Report(third, 31, {Change(next_, third)})));
  EXPECT_EQ(KeyInForce(), third.key.public_key());
}

TEST_F(KeyChangeTest, ANewCaCertifiesTheKeyThatIsAskedFor) {
  ASSERT_NO_FATAL_FAILURE(AskAndTake());
  EmptyOutbox();
  keys_->device_ca = crypto::SigningKey::Generate();
  ASSERT_OK_AND_ASSIGN(const int renewed, credentials_->RenewDue());
  EXPECT_EQ(renewed, 1);
  ASSERT_OK_AND_ASSIGN(
      const auto body,
      signing::VerifyCredential(Offered().credential(),
                                {keys_->device_ca.public_key()},
                                writer_->fleet_id(), clock_.WallNow()));
  EXPECT_EQ(body.public_key(), next_.key.public_key());
}

TEST_F(KeyChangeTest, NobodyTakesAKeyThatAnotherHasOrHad) {
  TestDevice other;
  Pair(other);
  EmptyOutbox();
  ASSERT_OK(Deliver(Report(device_, 1, {Change(device_, other)})));
  EXPECT_TRUE(Row().next_key().empty());
  ASSERT_OK(Deliver(Report(device_, 2, {Change(device_, next_)})));
  next_.credential = Offered().credential();
  ASSERT_OK(Deliver(Report(next_, 3)));
  EXPECT_EQ(KeyInForce(), next_.key.public_key());
  clock_.Advance(absl::Minutes(2));
  ASSERT_OK(Deliver(Report(next_, 4, {Change(next_, device_)})));
  EXPECT_TRUE(Row().next_key().empty());
}

// Somebody had a copy of the device's key and drove its report numbers to the
// end before the device changed it.
TEST_F(KeyChangeTest, T41_T56_AThiefsHighestNumberStopsNoReportsAndNoChange) {
  constexpr uint64_t kLast = std::numeric_limits<uint64_t>::max();
  const auto version = [&] { return Row().device().running_version(); };
  const auto says = [&](const TestDevice& device, uint64_t number,
                        const std::string& running,
                        const std::vector<KeyChange>& changes = {}) {
    records::v1::DeviceReport report;
    report.set_device_type("gateway");
    report.set_box_key(device_.box.public_key());
    report.set_running_version(running);
    for (const KeyChange& change : changes) *report.add_key_changes() = change;
    return DeviceRecord(device, records::v1::RECORD_KIND_DEVICE_REPORT,
                        writer_->places().DeviceReport(device.id), number,
                        report.SerializeAsString());
  };
  ASSERT_OK(Deliver(says(device_, 1, "1.0.0")));
  // Dated far ahead, too.
  clock_.Advance(absl::Hours(24 * 365));
  const std::string stolen = says(device_, kLast, "stolen");
  clock_.Advance(-absl::Hours(24 * 365));
  ASSERT_OK(Deliver(stolen));
  EXPECT_EQ(version(), "stolen");  // it is the device's key
  clock_.Advance(absl::Minutes(1));
  // It is heard all the same, and is given the key that it asks for.
  ASSERT_OK(Deliver(says(device_, 2, "2.0.0", {Change(device_, next_)})));
  EXPECT_EQ(version(), "2.0.0");
  ASSERT_EQ(Row().next_key(), next_.key.public_key());
  next_.credential = Offered().credential();
  clock_.Advance(absl::Minutes(1));
  ASSERT_OK(Deliver(says(next_, 3, "3.0.0", {Change(device_, next_)})));
  EXPECT_EQ(KeyInForce(), next_.key.public_key());
  EXPECT_EQ(version(), "3.0.0");
  EXPECT_EQ(Row().report_version(), 3u);
  // The thief's own is nothing any more, and an old one changes nothing.
  EXPECT_THAT(intake_->Verify(stolen), FailsBecause("superseded_key"));
  ASSERT_OK(Deliver(says(next_, 4, "4.0.0")));
  ASSERT_OK(Deliver(says(next_, 3, "3.0.0")));
  EXPECT_EQ(version(), "4.0.0");
}

TEST_F(KeyChangeTest, T20_T52_AnEpochThatWasNeverMadeIsNotBelieved) {
  const auto boast = [&](const TestDevice& device, uint64_t number) {
    records::v1::DeviceReport report;
    report.set_device_type("gateway");
    report.set_network_epoch(std::numeric_limits<uint32_t>::max());
    return DeviceRecord(device, records::v1::RECORD_KIND_DEVICE_REPORT,
                        writer_->places().DeviceReport(device.id), number,
                        report.SerializeAsString());
  };
  TestDevice thief;
  thief.id = device_.id;
  thief.credential = Minted(thief.key.public_key());
  ASSERT_OK(Deliver(boast(thief, 1)));
  EXPECT_EQ(Row().reported_epoch(), 0u);
  ASSERT_OK(Deliver(boast(device_, 1)));
  EXPECT_LE(Row().reported_epoch(), Row().network_epoch());
}

TEST_F(KeyChangeTest, WhoAsksNoMoreKeepsTheKeyItHas) {
  ASSERT_NO_FATAL_FAILURE(AskAndTake());
  // An older report says nothing.
  ASSERT_OK(Deliver(Report(device_, 1)));
  EXPECT_FALSE(Row().next_key().empty());
  ASSERT_OK(Deliver(Report(device_, 2)));
  EXPECT_TRUE(Row().next_key().empty());
  EXPECT_FALSE(OfferStands());
  EXPECT_EQ(KeyInForce(), device_.key.public_key());
  // The next one may be asked for all the same, after a while: whoever asks
  // without end fills nothing.
  ASSERT_OK(Deliver(Report(device_, 3, {Change(device_, next_)})));
  EXPECT_TRUE(Row().next_key().empty());
  clock_.Advance(absl::Minutes(11));
  ASSERT_OK(Deliver(Report(device_, 4, {Change(device_, next_)})));
  EXPECT_EQ(Row().next_key(), next_.key.public_key());
}

}  // namespace
}  // namespace shoal::server
