// Credentials anew, and what a plane does with the keys that it had.
#include "server/fleet/credentials.h"

#include "common/bytes.h"
#include "common/files.h"
#include "server/publish/new_director.h"
#include "signing/sign/builder.h"
#include "signing/verify/credential.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

using records::v1::RECORD_KIND_ASSIGNMENT;
using records::v1::RECORD_KIND_DEVICE_REPORT;
using records::v1::RECORD_KIND_PAIR_GRANT;
using testing::FailsBecause;

class CredentialsTest : public PlaneTest {
 protected:
  void SetUp() override {
    PlaneTest::SetUp();
    EnrollNode("n1");
    Pair(device_);
    EmptyOutbox();
    credentials_ =
        std::make_unique<Credentials>(*store_, *keys_, *writer_, *writers_);
  }
  // The newest offer for the device, opened as the device does.
  void OpenOffer(pairing::v1::Grant& grant) {
    const auto offers = Outbox(RECORD_KIND_PAIR_GRANT);
    ASSERT_FALSE(offers.empty());
    EXPECT_EQ(offers.back().place(), writer_->places().Assignment(device_.id));
    ASSERT_OK_AND_ASSIGN(const std::string plain,
                         device_.box.Open(offers.back().payload()));
    ASSERT_TRUE(grant.ParseFromString(plain));
  }
  std::string Report(const TestDevice& device, uint64_t version) {
    records::v1::DeviceReport report;
    report.set_device_type("gateway");
    report.set_box_key(device.box.public_key());
    return DeviceRecord(device, RECORD_KIND_DEVICE_REPORT,
                        writer_->places().DeviceReport(device.id), version,
                        report.SerializeAsString());
  }
  TestDevice device_;
  std::unique_ptr<Credentials> credentials_;
};

TEST_F(CredentialsTest, HalfOfItsLifeOverACredentialIsRenewedInPlace) {
  ASSERT_OK_AND_ASSIGN(int renewed, credentials_->RenewDue());
  EXPECT_EQ(renewed, 0);
  clock_.Advance(kDeviceCredentialLifetime / 2 + absl::Hours(24));
  ASSERT_OK_AND_ASSIGN(renewed, credentials_->RenewDue());
  EXPECT_EQ(renewed, 1);
  pairing::v1::Grant grant;
  ASSERT_NO_FATAL_FAILURE(OpenOffer(grant));
  ASSERT_OK_AND_ASSIGN(const auto body,
                       signing::VerifyCredential(
                           grant.credential(), {keys_->device_ca.public_key()},
                           writer_->fleet_id(), clock_.WallNow()));
  EXPECT_EQ(body.public_key(), device_.key.public_key());
  EXPECT_EQ(body.subject_id(), device_.id);
  EXPECT_EQ(body.kind(), records::v1::WRITER_CLASS_DEVICE);
  // Nothing that an online key could use to cut the device off.
  EXPECT_FALSE(grant.has_network());
  EXPECT_FALSE(grant.has_directory());
  ASSERT_OK_AND_ASSIGN(renewed, credentials_->RenewDue());
  EXPECT_EQ(renewed, 0);
}

TEST_F(CredentialsTest, T20_ANewCaCertifiesTheKeysThatPaired) {
  keys_->device_ca = crypto::SigningKey::Generate();
  ASSERT_OK_AND_ASSIGN(const int renewed, credentials_->RenewDue());
  EXPECT_EQ(renewed, 1);
  pairing::v1::Grant grant;
  ASSERT_NO_FATAL_FAILURE(OpenOffer(grant));
  EXPECT_OK(signing::VerifyCredential(grant.credential(),
                                      {keys_->device_ca.public_key()},
                                      writer_->fleet_id(), clock_.WallNow()));
}

TEST_F(CredentialsTest, T52_ADecommissionedDeviceGetsNone) {
  ASSERT_OK(devices_->Decommission("devices/" + HexEncode(device_.id), "gone",
                                   "operator:ann"));
  keys_->device_ca = crypto::SigningKey::Generate();
  ASSERT_OK_AND_ASSIGN(const int renewed, credentials_->RenewDue());
  EXPECT_EQ(renewed, 0);
}

TEST_F(CredentialsTest, AReportUnderTheNewOneWithdrawsTheOffer) {
  clock_.Advance(kDeviceCredentialLifetime / 2 + absl::Hours(24));
  ASSERT_OK(credentials_->RenewDue().status());
  const std::string row =
      PublicationKey(RECORD_KIND_PAIR_GRANT, HexEncode(device_.id));
  const auto offered = [&] {
    const auto publication =
        store_->Get<store::PublicationRow>(kPublications, row);
    return publication.ok() && publication->keep();
  };
  const auto take = [&](const records::v1::Credential& credential) {
    dht::VerifiedRecord record;
    record.writer.id = device_.id;
    record.writer.public_key = device_.key.public_key();
    *record.body.mutable_credential() = credential;
    Transaction tx(*store_);
    ASSERT_OK(credentials_->OnReport(tx, record));
    ASSERT_OK(tx.Commit());
  };
  EXPECT_TRUE(offered());
  take(device_.credential);
  EXPECT_TRUE(offered());  // still the old one
  pairing::v1::Grant grant;
  ASSERT_NO_FATAL_FAILURE(OpenOffer(grant));
  take(grant.credential());
  EXPECT_FALSE(offered());
}

TEST_F(CredentialsTest, T20_AKeyThatTheStolenCaMintedSpeaksForNoDevice) {
  TestDevice impostor;
  impostor.id = device_.id;
  records::v1::CredentialBody body;
  body.set_public_key(impostor.key.public_key());
  body.set_subject_id(device_.id);
  body.set_kind(records::v1::WRITER_CLASS_DEVICE);
  body.set_not_after(absl::ToUnixSeconds(clock_.WallNow() + absl::Hours(24)));
  ASSERT_OK_AND_ASSIGN(
      impostor.credential,
      signing::IssueCredential(keys_->device_ca, writer_->fleet_id(), body));
  ASSERT_OK(Take({Report(impostor, 7)}));
  const std::string name = "devices/" + HexEncode(device_.id);
  ASSERT_OK_AND_ASSIGN(const auto device, devices_->Get(name));
  // Commands go on being sealed to the device.
  EXPECT_EQ(device.box_key(), HexEncode(device_.box.public_key()));
}

TEST_F(CredentialsTest, ANewDirectorSignsWhatIsKeptAndDropsWhatWaits) {
  ASSERT_OK(AdoptDirectorKey(*store_, *keys_, *writer_));
  ASSERT_OK(devices_->UpdateLabels("devices/" + HexEncode(device_.id),
                                   {{"site", "south"}}, "", "operator:ann"));
  const std::string old = keys_->director.public_key();
  keys_->director = crypto::SigningKey::Generate();
  ASSERT_OK(AdoptDirectorKey(*store_, *keys_, *writer_));
  const auto assignments = Outbox(RECORD_KIND_ASSIGNMENT);
  ASSERT_EQ(assignments.size(), 1u);
  EXPECT_EQ(assignments[0].writer_key(), keys_->director.public_key());
  records::v1::Assignment assignment;
  ASSERT_TRUE(assignment.ParseFromString(assignments[0].payload()));
  EXPECT_EQ(assignment.labels().at("site"), "south");
  EmptyOutbox();
  ASSERT_OK(AdoptDirectorKey(*store_, *keys_, *writer_));
  EXPECT_TRUE(Outbox(RECORD_KIND_ASSIGNMENT).empty());
}

TEST(PlaneKeysTest, AfterATheftAllIsNewThatMetadataNames) {
  testing::TempDir dir;
  testing::FakeClock clock;
  FileSystem& fs = RealFileSystem();
  EXPECT_THAT(RotatePlaneKeys(dir.File("plane"), "t", fs, clock),
              FailsBecause("not_initialised"));
  ASSERT_OK(
      InitPlane({.directory = dir.File("plane"), .fleet = "t"}, fs, clock));
  ASSERT_OK_AND_ASSIGN(const PlaneKeys before,
                       LoadPlaneKeys(dir.File("plane"), fs));
  ASSERT_OK(RotatePlaneKeys(dir.File("plane"), "t", fs, clock));
  ASSERT_OK_AND_ASSIGN(const PlaneKeys after,
                       LoadPlaneKeys(dir.File("plane"), fs));
  EXPECT_NE(before.director.public_key(), after.director.public_key());
  EXPECT_NE(before.snapshot.public_key(), after.snapshot.public_key());
  EXPECT_NE(before.timestamp.public_key(), after.timestamp.public_key());
  EXPECT_NE(before.device_ca.public_key(), after.device_ca.public_key());
  EXPECT_NE(before.node_ca.public_key(), after.node_ca.public_key());
  EXPECT_NE(before.telemetry.public_key(), after.telemetry.public_key());
  EXPECT_NE(before.tls_cert_pem, after.tls_cert_pem);
  EXPECT_EQ(before.network_key.view(), after.network_key.view());
  EXPECT_EQ(before.place_key.view(), after.place_key.view());
  ASSERT_OK_AND_ASSIGN(const std::string json,
                       fs.Read(dir.File("plane/online-public.json"), 65536));
  EXPECT_NE(json.find(HexEncode(after.director.public_key())), json.npos);
}

}  // namespace
}  // namespace shoal::server
