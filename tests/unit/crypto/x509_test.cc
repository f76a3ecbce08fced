#include "common/crypto/x509.h"

#include <algorithm>

#include "common/files.h"
#include "common/subprocess.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::crypto {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::TempDir;

const absl::Time kStart = absl::FromUnixSeconds(1767225600);

CertificateRequest Request() {
  CertificateRequest request;
  request.common_name = "plane";
  request.names = {"127.0.0.1", "plane.example", "::1"};
  request.uri = "shoal:operator/alice";
  request.server = true;
  request.client = true;
  request.not_before = kStart;
  request.not_after = kStart + absl::Hours(24 * 30);
  return request;
}

TEST(X509, IssuedCertificateSaysWhatWasAskedFor) {
  ASSERT_OK_AND_ASSIGN(
      const TlsKeyPair ca,
      MakeCertificateAuthority("fleet", kStart, kStart + absl::Hours(87600)));
  ASSERT_OK_AND_ASSIGN(const TlsKeyPair leaf, IssueCertificate(ca, Request()));
  ASSERT_OK_AND_ASSIGN(const CertificateInfo info,
                       ParseCertificate(leaf.cert_pem));
  EXPECT_EQ(info.common_name, "plane");
  EXPECT_THAT(info.names,
              ::testing::ElementsAre("127.0.0.1", "plane.example", "::1"));
  EXPECT_THAT(info.uris, ::testing::ElementsAre("shoal:operator/alice"));
  EXPECT_EQ(info.not_before, kStart);
  EXPECT_EQ(info.not_after, kStart + absl::Hours(24 * 30));
  ASSERT_OK_AND_ASSIGN(const std::string pin, SpkiSha256(leaf.cert_pem));
  EXPECT_EQ(pin, info.spki_sha256);
  EXPECT_EQ(pin.size(), 32u);
  ASSERT_OK_AND_ASSIGN(const std::string ca_pin, SpkiSha256(ca.cert_pem));
  EXPECT_NE(pin, ca_pin);
}

TEST(X509, OpensslVerifiesTheChain) {
  ASSERT_OK_AND_ASSIGN(
      const TlsKeyPair ca,
      MakeCertificateAuthority("fleet", kStart, kStart + absl::Hours(87600)));
  ASSERT_OK_AND_ASSIGN(const TlsKeyPair leaf, IssueCertificate(ca, Request()));
  ASSERT_OK_AND_ASSIGN(
      const TlsKeyPair other,
      MakeCertificateAuthority("fleet", kStart, kStart + absl::Hours(87600)));
  TempDir dir;
  FileSystem& fs = RealFileSystem();
  ASSERT_OK(fs.WriteAtomic(dir.File("ca.pem"), ca.cert_pem));
  ASSERT_OK(fs.WriteAtomic(dir.File("other.pem"), other.cert_pem));
  ASSERT_OK(fs.WriteAtomic(dir.File("leaf.pem"), leaf.cert_pem));
  const auto verify = [&](const std::string& root) {
    SubprocessOptions options;
    options.arguments = {"/usr/bin/openssl",
                         "verify",
                         "-x509_strict",
                         "-no-CApath",
                         "-no-CAstore",
                         "-attime",
                         std::to_string(absl::ToUnixSeconds(kStart) + 60),
                         "-verify_ip",
                         "127.0.0.1",
                         "-CAfile",
                         dir.File(root),
                         dir.File("leaf.pem")};
    return RunCommand(options, absl::Seconds(20));
  };
  ASSERT_OK_AND_ASSIGN(const CommandResult good, verify("ca.pem"));
  EXPECT_TRUE(good.status.ok()) << good.output;
  ASSERT_OK_AND_ASSIGN(const CommandResult bad, verify("other.pem"));
  EXPECT_FALSE(bad.status.ok()) << bad.output;
}

TEST(X509, IssuesForAKeyThatTheSubjectKeeps) {
  ASSERT_OK_AND_ASSIGN(
      const TlsKeyPair ca,
      MakeCertificateAuthority("fleet", kStart, kStart + absl::Hours(87600)));
  const SecretBytes key = GenerateP256KeyPem();
  ASSERT_OK_AND_ASSIGN(const std::string public_pem, PublicKeyPem(key));
  ASSERT_OK_AND_ASSIGN(const std::string a,
                       IssueCertificateFor(ca, public_pem, Request()));
  ASSERT_OK_AND_ASSIGN(const std::string b,
                       IssueCertificateFor(ca, public_pem, Request()));
  EXPECT_NE(a, b);  // serial numbers differ
  EXPECT_EQ(SpkiSha256(a).value(), SpkiSha256(b).value());
}

TEST(X509, BadRequestsAreRefused) {
  ASSERT_OK_AND_ASSIGN(
      TlsKeyPair ca,
      MakeCertificateAuthority("fleet", kStart, kStart + absl::Hours(87600)));
  const auto refused =
      Fails(absl::StatusCode::kInvalidArgument, "bad_certificate");
  CertificateRequest request = Request();
  request.common_name = "";
  EXPECT_THAT(IssueCertificate(ca, request), refused);
  request = Request();
  request.not_after = request.not_before;
  EXPECT_THAT(IssueCertificate(ca, request), refused);
  request = Request();
  request.names = {"a,DNS:evil.example"};
  EXPECT_THAT(IssueCertificate(ca, request), refused);
  request = Request();
  request.server = request.client = false;
  EXPECT_THAT(IssueCertificate(ca, request), refused);
  EXPECT_THAT(SpkiSha256("no certificate"), refused);
  ca.key_pem = GenerateP256KeyPem();  // not the CA's
  EXPECT_THAT(IssueCertificate(ca, Request()), refused);
}

}  // namespace
}  // namespace shoal::crypto
