#include "signing/verify/entry_credential.h"

#include <gtest/gtest.h>

#include "common/crypto/ed25519.h"
#include "signing/metadata/metadata.h"
#include "signing/sign/builder.h"
#include "signing/verify/credential.h"
#include "tests/support/status_matchers.h"

namespace shoal::signing {
namespace {

using records::v1::Credential;
using records::v1::CredentialBody;
using testing::FailsBecause;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class EntryCredentialTest : public ::testing::Test {
 protected:
  void SetUp() override {
    trust_.fleet_id = std::string(32, 'f');
    trust_.device_ca_keys = {ca_.public_key()};
    trust_.node_ca_keys = {node_ca_.public_key()};
    trust_.manufacturers = {{"acme", acme_.public_key(), {"gateway"}}};
  }
  Credential Door(
      const crypto::SigningKey& ca, absl::Duration lifetime,
      records::v1::WriterClass kind = records::v1::WRITER_CLASS_DOOR) {
    CredentialBody body;
    body.set_public_key(door_.public_key());
    body.set_subject_id(std::string(16, 'd'));
    body.set_kind(kind);
    body.set_not_after(absl::ToUnixSeconds(kNow + lifetime));
    return *IssueCredential(ca, trust_.fleet_id, body);
  }
  CredentialBody ApplicantBody(const Credential& door) {
    CredentialBody body;
    body.set_public_key(device_.public_key());
    body.set_subject_id(KeySubject(device_.public_key()));
    body.set_kind(records::v1::WRITER_CLASS_APPLICANT);
    body.set_not_after(absl::ToUnixSeconds(kNow + absl::Hours(1)));
    *body.mutable_door() = door;
    return body;
  }
  Credential Applicant(const CredentialBody& body) {
    Credential credential;
    credential.set_body(body.SerializeAsString());
    credential.set_signature(door_.Sign(crypto::SigningInput(
        kCredentialDomain, trust_.fleet_id, credential.body())));
    return credential;
  }
  CredentialBody FactoryBody() {
    CredentialBody body;
    body.set_public_key(device_.public_key());
    body.set_subject_id(KeySubject(device_.public_key()));
    body.set_kind(records::v1::WRITER_CLASS_FACTORY);
    body.set_serial_number("SN-1");
    body.set_device_type("gateway");
    return body;
  }
  Credential Factory(const CredentialBody& body,
                     const crypto::SigningKey& signer) {
    Credential credential;
    credential.set_body(body.SerializeAsString());
    credential.set_signature(
        signer.Sign(FactorySigningInput(credential.body())));
    return credential;
  }
  absl::StatusOr<CredentialBody> Verify(const Credential& credential) {
    return VerifyCredential(credential, trust_, kNow);
  }

  FleetTrust trust_;
  crypto::SigningKey ca_ = crypto::SigningKey::Generate();
  crypto::SigningKey node_ca_ = crypto::SigningKey::Generate();
  crypto::SigningKey door_ = crypto::SigningKey::Generate();
  crypto::SigningKey acme_ = crypto::SigningKey::Generate();
  crypto::SigningKey device_ = crypto::SigningKey::Generate();
};

TEST_F(EntryCredentialTest, AnApplicantComesThroughADoorOfTheFleet) {
  const Credential door = Door(ca_, absl::Hours(1));
  const Credential good = Applicant(ApplicantBody(door));
  ASSERT_OK_AND_ASSIGN(const CredentialBody body, Verify(good));
  EXPECT_EQ(body.public_key(), device_.public_key());
  EXPECT_LE(good.body().size(), kMaxCredentialBytes);
  EXPECT_THAT(Verify(Applicant(ApplicantBody(Door(node_ca_, absl::Hours(1))))),
              FailsBecause("bad_signature"));
  EXPECT_THAT(Verify(Applicant(ApplicantBody(Door(ca_, -absl::Hours(1))))),
              FailsBecause("expired_credential"));
  // A claim ticket's key, or a device's, is no door.
  EXPECT_THAT(Verify(Applicant(ApplicantBody(
                  Door(ca_, absl::Hours(1), records::v1::WRITER_CLASS_CLAIM)))),
              FailsBecause("wrong_credential_kind"));
  Credential changed = good;
  changed.mutable_signature()->back() ^= 1;
  EXPECT_THAT(Verify(changed), FailsBecause("bad_signature"));
  CredentialBody other = ApplicantBody(door);
  other.set_subject_id(std::string(16, 'x'));
  EXPECT_THAT(Verify(Applicant(other)), FailsBecause("bad_credential"));
}

TEST_F(EntryCredentialTest, T51_OnlyAManufacturerThatTargetsNamesVouches) {
  const Credential good = Factory(FactoryBody(), acme_);
  ASSERT_OK_AND_ASSIGN(const FactoryProof proof,
                       VerifyFactory(good, trust_, kNow));
  EXPECT_EQ(proof.manufacturer, "acme");
  EXPECT_EQ(proof.body.serial_number(), "SN-1");
  EXPECT_OK(Verify(good));
  // The online CA is no manufacturer, and a manufacturer no CA.
  EXPECT_THAT(Verify(Factory(FactoryBody(), ca_)),
              FailsBecause("unknown_manufacturer"));
  CredentialBody device = FactoryBody();
  device.set_kind(records::v1::WRITER_CLASS_DEVICE);
  device.set_not_after(absl::ToUnixSeconds(kNow + absl::Hours(1)));
  EXPECT_THAT(Verify(Factory(device, acme_)), FailsBecause("bad_signature"));
  CredentialBody camera = FactoryBody();
  camera.set_device_type("camera");
  EXPECT_THAT(Verify(Factory(camera, acme_)),
              FailsBecause("unknown_manufacturer"));
  CredentialBody old = FactoryBody();
  old.set_not_after(absl::ToUnixSeconds(kNow));
  EXPECT_THAT(Verify(Factory(old, acme_)), FailsBecause("expired_credential"));
  CredentialBody nameless = FactoryBody();
  nameless.clear_serial_number();
  EXPECT_THAT(Verify(Factory(nameless, acme_)), FailsBecause("bad_credential"));
  trust_.manufacturers.clear();
  EXPECT_THAT(Verify(good), FailsBecause("unknown_manufacturer"));
}

TEST(Fingerprint, IsForgivingInFormOnly) {
  const std::string text = FingerprintOf(std::string(32, 'k'));
  EXPECT_EQ(text.size(), 32u);
  EXPECT_EQ(NormalFingerprint(text), text);
  std::string typed;
  for (const char c : text)
    if (c != '-') typed += static_cast<char>(std::tolower(c));
  EXPECT_EQ(NormalFingerprint(typed), text);
  EXPECT_TRUE(SameFingerprint(typed + " ", text));
  EXPECT_FALSE(SameFingerprint(FingerprintOf(std::string(32, 'l')), text));
  EXPECT_EQ(NormalFingerprint(text.substr(2)), "");
  EXPECT_EQ(NormalFingerprint(""), "");
}

TEST(Manufacturers, StandInTargetsAndSurviveATurn) {
  Targets targets;
  targets.version = 1;
  targets.expires = kNow;
  targets.fleet_keys.emplace();
  targets.fleet_keys->manufacturers = {
      {"acme", std::string(32, 'a'), {"gateway", "camera"}},
      {"bolt", std::string(32, 'b'), {}}};
  const crypto::SigningKey key = crypto::SigningKey::Generate();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SignTargets(targets, {&key}));
  ASSERT_OK_AND_ASSIGN(const ParsedTargets parsed, ParseTargets(bytes));
  EXPECT_EQ(parsed.value.fleet_keys->manufacturers,
            targets.fleet_keys->manufacturers);
}

TEST(Manufacturers, BadOnesAreRefused) {
  const auto with = [](const std::string& list) {
    return ParseTargets(
               R"({"signatures":[],"signed":{"_type":"targets","expires":)"
               R"("2030-01-01T00:00:00Z","spec_version":"1.0.31","version":1,)"
               R"("targets":{},"shoal":{"manufacturers":)" +
               list + "}}}")
        .status();
  };
  const std::string key(64, 'a');
  EXPECT_OK(with(R"([{"name":"acme","key":")" + key + R"("}])"));
  for (const std::string& bad :
       {std::string("{}"), std::string("[1]"), std::string(R"([{"name":"a"}])"),
        R"([{"name":"../a","key":")" + key + R"("}])",
        std::string(R"([{"name":"a","key":"00"}])"),
        R"([{"name":"a","key":")" + key + R"(","device_types":[1]}])",
        R"([{"name":"a","key":")" + key + R"(","device_types":["a/b"]}])"})
    EXPECT_FALSE(with(bad).ok()) << bad;
}

}  // namespace
}  // namespace shoal::signing
