#include "signing/verify/credential.h"

#include "signing/sign/builder.h"
#include "tests/support/status_matchers.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;

class CredentialTest : public ::testing::Test {
 protected:
  CredentialTest() {
    trust_.fleet_id = std::string(32, 'F');
    trust_.device_ca_keys = {device_ca_.public_key()};
    trust_.node_ca_keys = {node_ca_.public_key()};
    body_.set_public_key(std::string(32, 'k'));
    body_.set_subject_id(std::string(16, 's'));
    body_.set_kind(records::v1::WRITER_CLASS_DEVICE);
    body_.set_not_after(absl::ToUnixSeconds(now_) + 60);
    body_.set_serial(1);
  }
  records::v1::Credential Issue(const crypto::SigningKey& ca) {
    return IssueCredential(ca, trust_.fleet_id, body_).value();
  }
  const absl::Time now_ = absl::FromUnixSeconds(1767225600);
  const crypto::SigningKey device_ca_ = crypto::SigningKey::Generate();
  const crypto::SigningKey node_ca_ = crypto::SigningKey::Generate();
  FleetTrust trust_;
  records::v1::CredentialBody body_;
};

TEST_F(CredentialTest, IssuedIsVerifiedAndSmall) {
  const auto credential = Issue(device_ca_);
  ASSERT_OK_AND_ASSIGN(const auto body,
                       VerifyCredential(credential, trust_, now_));
  EXPECT_EQ(body.subject_id(), body_.subject_id());
  EXPECT_LE(credential.ByteSizeLong(), 150u);
}

TEST_F(CredentialTest, ExpiredForeignOrForgedIsRefused) {
  auto credential = Issue(device_ca_);
  EXPECT_THAT(
      VerifyCredential(credential, trust_, now_ + absl::Seconds(60)),
      Fails(absl::StatusCode::kFailedPrecondition, "expired_credential"));
  FleetTrust other = trust_;
  other.fleet_id = std::string(32, 'G');
  EXPECT_THAT(VerifyCredential(credential, other, now_),
              Fails(absl::StatusCode::kPermissionDenied, "bad_signature"));
  body_.set_serial(2);
  credential.set_body(body_.SerializeAsString());
  EXPECT_THAT(VerifyCredential(credential, trust_, now_),
              FailsBecause("bad_signature"));
  credential.set_body("junk");
  EXPECT_THAT(VerifyCredential(credential, trust_, now_),
              FailsBecause("bad_credential"));
}

TEST_F(CredentialTest, T20_TheDeviceCaCannotMakeNodesOrOperators) {
  body_.set_kind(records::v1::WRITER_CLASS_NODE);
  EXPECT_THAT(VerifyCredential(Issue(device_ca_), trust_, now_),
              FailsBecause("bad_signature"));
  EXPECT_OK(VerifyCredential(Issue(node_ca_), trust_, now_));
  body_.set_kind(records::v1::WRITER_CLASS_OPERATOR);
  EXPECT_THAT(IssueCredential(device_ca_, trust_.fleet_id, body_),
              FailsBecause("bad_credential"));
  records::v1::Credential forged;
  forged.set_body(body_.SerializeAsString());
  forged.set_signature(device_ca_.Sign(
      crypto::SigningInput(kCredentialDomain, trust_.fleet_id, forged.body())));
  EXPECT_THAT(
      VerifyCredential(forged, trust_, now_),
      Fails(absl::StatusCode::kPermissionDenied, "wrong_credential_kind"));
}

// What was computed once is judged each time.
TEST_F(CredentialTest, T52_ASignatureThatWasSeenSavesNobody) {
  SeenSignatures seen;
  const auto credential = Issue(device_ca_);
  const auto verify = [&](absl::Time now) {
    return VerifyKeptCredential(credential, trust_, absl::InfiniteFuture(), now,
                                &seen);
  };
  ASSERT_OK(verify(now_));
  EXPECT_EQ(seen.size(), 1u);
  EXPECT_OK(verify(now_));
  EXPECT_THAT(verify(now_ + absl::Seconds(60)),
              FailsBecause("expired_credential"));
  trust_.revoked_device_ids.insert(body_.subject_id());
  EXPECT_THAT(verify(now_), FailsBecause("revoked"));
  trust_.revoked_device_ids.clear();
  trust_.device_ca_keys = {crypto::SigningKey::Generate().public_key()};
  EXPECT_THAT(verify(now_), FailsBecause("bad_signature")) << "another CA now";
}

TEST_F(CredentialTest, T52_ARevokedNodeIsRefused) {
  body_.set_kind(records::v1::WRITER_CLASS_NODE);
  trust_.revoked_node_keys = {body_.public_key()};
  EXPECT_THAT(VerifyCredential(Issue(node_ca_), trust_, now_),
              Fails(absl::StatusCode::kPermissionDenied, "revoked"));
}

}  // namespace
}  // namespace shoal::signing
