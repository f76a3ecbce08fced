#include "signing/verify/writer.h"

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "signing/sign/builder.h"
#include "tests/support/status_matchers.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;

class WriterTest : public ::testing::Test {
 protected:
  WriterTest() {
    trust_.fleet_id = std::string(32, 'F');
    trust_.device_ca_keys = {device_ca_.public_key()};
    trust_.node_ca_keys = {node_ca_.public_key()};
    trust_.director_keys = {std::string(32, 'd')};
    auto* op = policy_.add_operators();
    op->set_name("alice");
    op->set_public_key(HexEncode(std::string(32, 'o')));
  }
  absl::StatusOr<RecordWriter> Resolve() {
    return ResolveWriter(trust_, policy_, body_, now_);
  }
  void Credential(const crypto::SigningKey& ca, records::v1::WriterClass kind) {
    records::v1::CredentialBody subject;
    subject.set_public_key(std::string(32, 'k'));
    subject.set_subject_id(std::string(16, 's'));
    subject.set_kind(kind);
    subject.set_not_after(absl::ToUnixSeconds(now_) + 60);
    *body_.mutable_credential() =
        IssueCredential(ca, trust_.fleet_id, subject).value();
  }

  const absl::Time now_ = absl::FromUnixSeconds(1767225600);
  const crypto::SigningKey device_ca_ = crypto::SigningKey::Generate();
  const crypto::SigningKey node_ca_ = crypto::SigningKey::Generate();
  FleetTrust trust_;
  policy::v1::AccessPolicy policy_;
  records::v1::RecordBody body_;
};

TEST_F(WriterTest, DirectorsByTheirRoleOperatorsByThePolicy) {
  body_.set_writer_key(std::string(32, 'd'));
  ASSERT_OK_AND_ASSIGN(auto writer, Resolve());
  EXPECT_EQ(writer.kind, records::v1::WRITER_CLASS_DIRECTOR);
  EXPECT_EQ(writer.public_key, std::string(32, 'd'));
  EXPECT_EQ(writer.id.size(), 16u);
  body_.set_writer_key(std::string(32, 'o'));
  ASSERT_OK_AND_ASSIGN(writer, Resolve());
  EXPECT_EQ(writer.kind, records::v1::WRITER_CLASS_OPERATOR);
  body_.set_writer_key(std::string(32, 'x'));
  EXPECT_THAT(Resolve(),
              Fails(absl::StatusCode::kPermissionDenied, "unknown_writer"));
  body_.clear_writer();
  EXPECT_THAT(Resolve(), FailsBecause("unknown_writer"));
}

TEST_F(WriterTest, CredentialsByTheirKind) {
  Credential(device_ca_, records::v1::WRITER_CLASS_DEVICE);
  ASSERT_OK_AND_ASSIGN(auto writer, Resolve());
  EXPECT_EQ(writer.kind, records::v1::WRITER_CLASS_DEVICE);
  EXPECT_EQ(writer.id, std::string(16, 's'));
  EXPECT_EQ(writer.public_key, std::string(32, 'k'));
  Credential(node_ca_, records::v1::WRITER_CLASS_NODE);
  ASSERT_OK_AND_ASSIGN(writer, Resolve());
  EXPECT_EQ(writer.kind, records::v1::WRITER_CLASS_NODE);
  body_.set_credential_digest(std::string(16, 'c'));
  EXPECT_THAT(Resolve(),
              Fails(absl::StatusCode::kNotFound, "unknown_credential"));
}

TEST_F(WriterTest, T52_RevokedOperatorsAndNodesAreNobody) {
  body_.set_writer_key(std::string(32, 'o'));
  trust_.revoked_operator_keys = {std::string(32, 'o')};
  EXPECT_THAT(Resolve(), FailsBecause("revoked"));
  trust_.revoked_node_keys = {std::string(32, 'k')};
  Credential(node_ca_, records::v1::WRITER_CLASS_NODE);
  EXPECT_THAT(Resolve(), FailsBecause("revoked"));
}

TEST_F(WriterTest, T52_ADecommissionedDeviceIsNobodyUnderAnyKey) {
  Credential(device_ca_, records::v1::WRITER_CLASS_DEVICE);
  trust_.revoked_device_ids = {std::string(16, 't')};
  EXPECT_OK(Resolve());
  trust_.revoked_device_ids.insert(std::string(16, 's'));
  EXPECT_THAT(Resolve(), FailsBecause("revoked"));
}

TEST_F(WriterTest, T56_AKeyThatItsDeviceReplacedSignsNothingAnyMore) {
  Credential(device_ca_, records::v1::WRITER_CLASS_DEVICE);
  const absl::Time since = now_ - absl::Hours(1);
  body_.set_issued(absl::ToUnixMillis(since));
  trust_.superseded_keys["camera"] = {{KeyDigest(std::string(32, 'x')), since}};
  EXPECT_OK(Resolve());
  trust_.superseded_keys["gateway"] = {
      {KeyDigest(std::string(32, 'k')), since}};
  // Whatever date it writes.
  EXPECT_THAT(Resolve(),
              Fails(absl::StatusCode::kPermissionDenied, "superseded_key"));
  // What a node took in its time is good, what is dated later is not.
  const auto kept = [&] {
    return ResolveKeptWriter(trust_, policy_, body_, now_).status();
  };
  EXPECT_OK(kept());
  body_.set_issued(absl::ToUnixMillis(since) + 1);
  EXPECT_THAT(kept(), FailsBecause("superseded_key"));
  // A storage node's key is not a device's.
  Credential(node_ca_, records::v1::WRITER_CLASS_NODE);
  EXPECT_OK(Resolve());
}

TEST_F(WriterTest, ThePolicyIsParsedOnceAndStrictly) {
  ASSERT_OK_AND_ASSIGN(const auto none, PolicyOf(trust_));
  EXPECT_EQ(none.operators_size(), 0);
  trust_.policy_json = "{";
  EXPECT_THAT(PolicyOf(trust_), FailsBecause("bad_policy"));
}

}  // namespace
}  // namespace shoal::signing
