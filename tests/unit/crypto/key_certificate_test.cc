// X.509 for ed25519 keys, judged by OpenSSL's own command.
#include "common/crypto/key_certificate.h"

#include <gtest/gtest.h>

#include "common/files.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::crypto {
namespace {

using testing::FailsBecause;

class KeyCertificate : public ::testing::Test {
 protected:
  KeyCertificateRequest Request() {
    KeyCertificateRequest request;
    request.public_key = device_.public_key();
    request.name = {"fleet", "0123456789abcdef"};
    request.uri = "shoal:device/0123456789abcdef";
    request.serial = 0xfedcba9876543210;
    request.not_before = absl::Now() - absl::Hours(1);
    request.not_after = absl::Now() + absl::Hours(1);
    return request;
  }
  std::string File(const std::string& name, std::string_view text) {
    EXPECT_OK(RealFileSystem().WriteAtomic(dir_.File(name), text, 0600));
    return dir_.File(name);
  }
  // Standard output and error; its exit code in *code.
  std::string Openssl(std::vector<std::string> arguments, int* code) {
    arguments.insert(arguments.begin(), "/usr/bin/openssl");
    const auto result = testing::Run(arguments);
    EXPECT_OK(result);
    *code = result.ok() ? result->status.code : -1;
    return result.ok() ? result->output : "";
  }

  testing::TempDir dir_;
  const SigningKey ca_ = SigningKey::Generate();
  const SigningKey device_ = SigningKey::Generate();
  const KeyCertificateName issuer_ = {"fleet", "the CA"};
};

TEST_F(KeyCertificate, OpensslTrustsItUnderTheCaAndNoOther) {
  ASSERT_OK_AND_ASSIGN(const std::string ca, MakeKeyCa(ca_, issuer_));
  ASSERT_OK_AND_ASSIGN(const std::string der,
                       IssueKeyCertificate(ca_, issuer_, Request()));
  EXPECT_LE(der.size(), 600u);
  ASSERT_OK_AND_ASSIGN(const std::string again,
                       IssueKeyCertificate(ca_, issuer_, Request()));
  EXPECT_EQ(der.size(), again.size());
  const std::string ca_file = File("ca.pem", CertificatePem(ca));
  const std::string file = File("device.pem", CertificatePem(der));
  int code = 0;
  std::string said =
      Openssl({"verify", "-x509_strict", "-check_ss_sig", "-purpose",
               "sslclient", "-CAfile", ca_file, file},
              &code);
  EXPECT_EQ(code, 0) << said;
  said = Openssl({"x509", "-in", file, "-noout", "-text"}, &code);
  for (const char* part :
       {"URI:shoal:device/0123456789abcdef", "TLS Web Client Authentication",
        "CA:FALSE", "O = fleet, CN = 0123456789abcdef", "ED25519"})
    EXPECT_NE(said.find(part), said.npos) << part << "\n" << said;

  // The same names and another key: no.
  const SigningKey other = SigningKey::Generate();
  ASSERT_OK_AND_ASSIGN(const std::string forged, MakeKeyCa(other, issuer_));
  said = Openssl(
      {"verify", "-CAfile", File("forged.pem", CertificatePem(forged)), file},
      &code);
  EXPECT_NE(code, 0) << said;
  // It is no CA itself, and for no server.
  said = Openssl({"verify", "-purpose", "sslserver", "-CAfile", ca_file, file},
                 &code);
  EXPECT_NE(code, 0) << said;
  // Its time is its credential's.
  said =
      Openssl({"verify", "-CAfile", ca_file, "-attime",
               std::to_string(absl::ToUnixSeconds(absl::Now()) + 7200), file},
              &code);
  EXPECT_NE(code, 0) << said;
}

TEST_F(KeyCertificate, TheKeyAndTheRequestAreTheDevicesOwn) {
  int code = 0;
  const std::string key = File("device.key", SigningKeyPem(device_).view());
  const std::string public_key =
      Openssl({"pkey", "-in", key, "-pubout"}, &code);
  ASSERT_EQ(code, 0) << public_key;
  ASSERT_OK_AND_ASSIGN(const std::string der,
                       IssueKeyCertificate(ca_, issuer_, Request()));
  EXPECT_EQ(Openssl({"x509", "-in", File("device.pem", CertificatePem(der)),
                     "-noout", "-pubkey"},
                    &code),
            public_key);
  ASSERT_OK_AND_ASSIGN(
      const std::string csr,
      MakeCertificationRequest(device_, {"fleet", "device"}, "shoal:device/1"));
  const std::string said = Openssl(
      {"req", "-in", File("device.csr", csr), "-noout", "-verify", "-text"},
      &code);
  EXPECT_EQ(code, 0) << said;
  EXPECT_NE(said.find("URI:shoal:device/1"), said.npos) << said;
}

TEST_F(KeyCertificate, T55_OnlyTheRightKeyUnderTheRightCaPasses) {
  ASSERT_OK_AND_ASSIGN(const std::string der,
                       IssueKeyCertificate(ca_, issuer_, Request()));
  EXPECT_OK(CheckKeyCertificate(der, ca_.public_key(), device_.public_key()));
  const SigningKey other = SigningKey::Generate();
  EXPECT_THAT(
      CheckKeyCertificate(der, other.public_key(), device_.public_key()),
      FailsBecause("bad_signature"));
  EXPECT_THAT(CheckKeyCertificate(der, ca_.public_key(), other.public_key()),
              FailsBecause("wrong_key"));
  EXPECT_THAT(
      CheckKeyCertificate(der + "x", ca_.public_key(), device_.public_key()),
      FailsBecause("bad_certificate"));
  for (size_t i = 0; i < der.size(); ++i) {
    std::string bad = der;
    bad[i] = static_cast<char>(bad[i] ^ 0x20);
    EXPECT_FALSE(
        CheckKeyCertificate(bad, ca_.public_key(), device_.public_key()).ok())
        << i;
  }
  EXPECT_THAT(CheckKeyCertificate(std::string(5000, 'x'), ca_.public_key(),
                                  device_.public_key()),
              FailsBecause("bad_certificate"));
}

TEST_F(KeyCertificate, ACaShowsItsKey) {
  ASSERT_OK_AND_ASSIGN(const std::string ca, MakeKeyCa(ca_, issuer_));
  EXPECT_EQ(*KeyOfCa(CertificatePem(ca)), ca_.public_key());
  ASSERT_OK_AND_ASSIGN(const std::string leaf,
                       IssueKeyCertificate(ca_, issuer_, Request()));
  EXPECT_THAT(KeyOfCa(CertificatePem(leaf)), FailsBecause("bad_certificate"));
  EXPECT_THAT(KeyOfCa("-----BEGIN"), FailsBecause("bad_certificate"));
  EXPECT_THAT(MakeKeyCa(ca_, {"", ""}), FailsBecause("bad_certificate"));
}

}  // namespace
}  // namespace shoal::crypto
