#include "agent/link/record_out.h"

#include <gmock/gmock.h>

#include "signing/sign/builder.h"
#include "signing/verify/writer.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace shoal::agent {
namespace {

using shoal::testing::FailsBecause;
using shoal::testing::FakeClock;

constexpr char kPlaceKey[] = "0123456789abcdef0123456789abcdef";

class RecordOutTest : public ::testing::Test {
 protected:
  void SetUp() override {
    membership_.fleet_id = std::string(32, 'f');
    trust_.fleet_id = membership_.fleet_id;
    trust_.device_ca_keys = {ca_.public_key()};
    ASSERT_OK_AND_ASSIGN(*membership_.grant.mutable_credential(),
                         CredentialFor(*old_));
  }
  absl::StatusOr<records::v1::Credential> CredentialFor(
      const crypto::SigningKey& key) {
    records::v1::CredentialBody body;
    body.set_public_key(key.public_key());
    body.set_subject_id(id_);
    body.set_kind(records::v1::WRITER_CLASS_DEVICE);
    body.set_not_after(absl::ToUnixSeconds(clock_.WallNow() + absl::Hours(24)));
    return signing::IssueCredential(ca_, membership_.fleet_id, body);
  }
  // As a storage node looks at it.
  absl::StatusOr<dht::VerifiedRecord> Verify(const std::string& record) {
    const dht::PlaceNamer places(kPlaceKey);
    const dht::WriterResolver resolver =
        [this](const dht::RecordBody& body,
               absl::Time now) -> absl::StatusOr<dht::Writer> {
      SHOAL_ASSIGN_OR_RETURN(
          auto writer, signing::ResolveWriter(
                           trust_, policy::v1::AccessPolicy(), body, now));
      return dht::Writer{writer.kind, writer.id, writer.public_key};
    };
    return dht::VerifyRecord(
        record, {membership_.fleet_id, &places, resolver, clock_.WallNow()});
  }

  FakeClock clock_;
  const std::string id_ = std::string(16, 'd');
  const crypto::SigningKey ca_ = crypto::SigningKey::Generate();
  const RecordOut::Key old_ = std::make_shared<const crypto::SigningKey>(
      crypto::SigningKey::Generate());
  const RecordOut::Key next_ = std::make_shared<const crypto::SigningKey>(
      crypto::SigningKey::Generate());
  Membership membership_;
  signing::FleetTrust trust_;
};

// Records wait in the spool while no node is to be reached; meanwhile the
// device's change of keys goes through, and no node takes the old key's any
// more.
TEST_F(RecordOutTest, T52_T56_WhatWaitsUnderASupersededKeyIsSignedAgain) {
  RecordOut out(old_, &membership_, nullptr, &clock_);
  const std::string waiting =
      out.Sign(records::v1::RECORD_KIND_DEVICE_REPORT,
               dht::PlaceNamer(kPlaceKey).DeviceReport(id_), 7, "report",
               clock_.WallNow() - absl::Minutes(5), absl::Hours(1));
  EXPECT_OK(Verify(waiting));
  EXPECT_EQ(out.Revive(waiting, trust_, clock_.WallNow()), std::nullopt);

  trust_.superseded_keys["gateway"][signing::KeyDigest(old_->public_key())] =
      clock_.WallNow();
  EXPECT_THAT(Verify(waiting), FailsBecause("superseded_key"));
  // With no other key, the same would be refused again.
  EXPECT_EQ(out.Revive(waiting, trust_, clock_.WallNow()), std::nullopt);
  ASSERT_OK_AND_ASSIGN(const auto credential, CredentialFor(*next_));
  out.SetSigner(next_, credential);
  const auto revived = out.Revive(waiting, trust_, clock_.WallNow());
  ASSERT_TRUE(revived.has_value());
  ASSERT_OK_AND_ASSIGN(const dht::VerifiedRecord record, Verify(*revived));
  EXPECT_EQ(record.writer.public_key, next_->public_key());
  EXPECT_EQ(record.writer.id, id_);
  EXPECT_EQ(record.body.version(), 7u);
  EXPECT_EQ(record.body.payload(), "report");
  EXPECT_EQ(record.body.issued(),
            absl::ToUnixMillis(clock_.WallNow() - absl::Minutes(5)));
  // Once is enough.
  EXPECT_EQ(out.Revive(*revived, trust_, clock_.WallNow()), std::nullopt);
  EXPECT_EQ(out.Revive("no record", trust_, clock_.WallNow()), std::nullopt);
}

}  // namespace
}  // namespace shoal::agent
