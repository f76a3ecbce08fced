// ECDSA P-256 and RSA-PSS keys in PEM: what counts, what does not, and that a
// device counts none of it.
#include "signing/client/interop_algorithms.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"
#include "common/crypto/pem_signature.h"
#include "common/files.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::FailsBecause;

// A secret key by OpenSSL itself.
class Secret {
 public:
  static Secret Ec(const char* curve) {
    return Secret(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve));
  }
  static Secret Rsa(size_t bits) {
    return Secret(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", bits));
  }
  Secret(Secret&& other) noexcept : key_(other.key_) { other.key_ = nullptr; }
  ~Secret() { EVP_PKEY_free(key_); }

  void CompressPoint() {
    EVP_PKEY_set_utf8_string_param(key_, "point-format", "compressed");
  }
  std::string Pem() const {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, key_);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string pem(data, static_cast<size_t>(size));
    BIO_free(bio);
    return pem;
  }
  // `padding` for RSA keys only.
  std::string Sign(std::string_view message, int padding = 0,
                   const EVP_MD* digest = EVP_sha256(),
                   int salt = RSA_PSS_SALTLEN_DIGEST) const {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_PKEY_CTX* parameters = nullptr;
    EVP_DigestSignInit(context, &parameters, digest, nullptr, key_);
    if (padding != 0) EVP_PKEY_CTX_set_rsa_padding(parameters, padding);
    if (padding == RSA_PKCS1_PSS_PADDING)
      EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, salt);
    std::string signature(1024, '\0');
    size_t size = signature.size();
    const int ok = EVP_DigestSign(
        context, reinterpret_cast<unsigned char*>(signature.data()), &size,
        reinterpret_cast<const unsigned char*>(message.data()), message.size());
    EVP_MD_CTX_free(context);
    signature.resize(ok == 1 ? size : 0);
    return signature;
  }

 private:
  explicit Secret(EVP_PKEY* key) : key_(key) {}
  EVP_PKEY* key_;
};

Key PemKey(const std::string& type, const std::string& scheme,
           const std::string& pem) {
  return {"id-" + pem, type, scheme, pem, false};
}
Key EcKey(const std::string& pem) {
  return PemKey("ecdsa", "ecdsa-sha2-nistp256", pem);
}
Key RsaKey(const std::string& pem) {
  return PemKey("rsa", "rsassa-pss-sha256", pem);
}

absl::Status Check(const std::vector<Key>& keys,
                   const std::vector<std::string>& signatures,
                   uint32_t threshold, const KeyAlgorithms& algorithms) {
  SignedBytes envelope;
  envelope.canonical_signed = "message";
  RoleKeys role{{}, threshold};
  std::map<std::string, Key> by_id;
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string id = "key-" + std::to_string(i);
    role.key_ids.push_back(id);
    by_id[id] = keys[i];
    envelope.signatures.push_back({id, signatures[i]});
  }
  return VerifySignatures(envelope, by_id, role, "role", algorithms);
}

TEST(InteropAlgorithms, T01_GoodSignaturesCountAndBadOnesDoNot) {
  const Secret ec = Secret::Ec("P-256");
  const Secret rsa = Secret::Rsa(2048);
  const crypto::SigningKey ed = crypto::SigningKey::Generate();
  const std::vector<Key> keys = {EcKey(ec.Pem()), RsaKey(rsa.Pem()),
                                 MakeEd25519Key(ed.public_key())};
  const std::vector<std::string> good = {
      ec.Sign("message"), rsa.Sign("message", RSA_PKCS1_PSS_PADDING),
      ed.Sign("message")};
  EXPECT_OK(Check(keys, good, 3, InteropAlgorithms()));
  for (size_t i = 0; i < good.size(); ++i) {
    for (const std::string& bad :
         {std::string(), std::string("x"), good[i].substr(1),
          good[i] + std::string(1, '\0'), good[(i + 1) % 3]}) {
      std::vector<std::string> signatures = good;
      signatures[i] = bad;
      EXPECT_THAT(Check(keys, signatures, 3, InteropAlgorithms()),
                  FailsBecause("bad_signature"));
    }
    std::string flipped = good[i];
    flipped.back() = static_cast<char>(flipped.back() ^ 1);
    std::vector<std::string> signatures = good;
    signatures[i] = flipped;
    EXPECT_THAT(Check(keys, signatures, 3, InteropAlgorithms()),
                FailsBecause("bad_signature"));
  }
  // To a device the first two are no keys at all.
  EXPECT_THAT(Check(keys, good, 2, Ed25519Only()),
              FailsBecause("bad_signature"));
  EXPECT_OK(Check(keys, good, 1, Ed25519Only()));
}

TEST(InteropAlgorithms, T11_OneKeyInTwoSpellingsCountsOnce) {
  Secret ec = Secret::Ec("P-256");
  const std::string pem = ec.Pem();
  const std::string signature = ec.Sign("message");
  std::string blanks = "\n\ncomment\n" + pem + "\n\n";
  ec.CompressPoint();
  const std::string compressed = ec.Pem();
  ASSERT_NE(compressed, pem);
  const std::vector<Key> keys = {
      EcKey(pem), EcKey(blanks), EcKey(compressed),
      PemKey("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", pem)};
  const std::vector<std::string> signatures(keys.size(), signature);
  EXPECT_OK(Check(keys, signatures, 1, InteropAlgorithms()));
  EXPECT_THAT(Check(keys, signatures, 2, InteropAlgorithms()),
              FailsBecause("bad_signature"));
}

TEST(InteropAlgorithms, T01_OtherSchemesCountForNothing) {
  const Secret rsa = Secret::Rsa(2048);
  const Secret ec = Secret::Ec("P-256");
  const auto refused = [](const Key& key, const std::string& signature) {
    return !Check({key}, {signature}, 1, InteropAlgorithms()).ok();
  };
  // PKCS #1 v1.5, or another digest, under a PSS key.
  EXPECT_TRUE(refused(RsaKey(rsa.Pem()), rsa.Sign("message")));
  EXPECT_TRUE(
      refused(RsaKey(rsa.Pem()),
              rsa.Sign("message", RSA_PKCS1_PSS_PADDING, EVP_sha512())));
  EXPECT_TRUE(refused(EcKey(ec.Pem()), ec.Sign("message", 0, EVP_sha512())));
  // Any length of salt is PSS.
  EXPECT_FALSE(
      refused(RsaKey(rsa.Pem()), rsa.Sign("message", RSA_PKCS1_PSS_PADDING,
                                          EVP_sha256(), RSA_PSS_SALTLEN_MAX)));
  // A key under a scheme that is not its own, and schemes nobody knows here.
  const std::string signature = rsa.Sign("message", RSA_PKCS1_PSS_PADDING);
  EXPECT_TRUE(refused(EcKey(rsa.Pem()), signature));
  EXPECT_TRUE(refused(RsaKey(ec.Pem()), ec.Sign("message")));
  EXPECT_TRUE(
      refused(PemKey("rsa", "rsa-pkcs1v15-sha256", rsa.Pem()), signature));
  EXPECT_TRUE(refused(PemKey("ed25519", "ed25519", ec.Pem()), signature));
}

TEST(InteropAlgorithms, T01_WeakAndMalformedKeysAreNoKeys) {
  using crypto::PemKeyToDer;
  using crypto::PemScheme;
  const auto bad = FailsBecause("bad_key");
  EXPECT_THAT(PemKeyToDer(PemScheme::kRsaPssSha256, Secret::Rsa(1024).Pem()),
              bad);
  EXPECT_THAT(
      PemKeyToDer(PemScheme::kEcdsaP256Sha256, Secret::Ec("P-384").Pem()), bad);
  EXPECT_THAT(
      PemKeyToDer(PemScheme::kEcdsaP256Sha256, Secret::Ec("secp256k1").Pem()),
      bad);
  const std::string pem = Secret::Ec("P-256").Pem();
  EXPECT_OK(PemKeyToDer(PemScheme::kEcdsaP256Sha256, pem));
  EXPECT_THAT(PemKeyToDer(PemScheme::kEcdsaP256Sha256,
                          pem + std::string(crypto::kMaxPemBytes, '\n')),
              bad);
  for (const std::string& text :
       {std::string(), pem.substr(0, pem.size() / 2), std::string("x"),
        std::string("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC "
                    "KEY-----\n"),
        // OpenSSL would ask at the terminal for this one's passphrase.
        std::string("-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\n"
                    "DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\n"
                    "AAAA\n-----END PUBLIC KEY-----\n")})
    EXPECT_THAT(PemKeyToDer(PemScheme::kEcdsaP256Sha256, text), bad) << text;
}

// The root of a stock repository, signed with one PEM key.
std::string RootOf(const std::string& type, const std::string& scheme,
                   const Secret& key, int padding) {
  const auto replaced = [](std::string text, const std::string& from,
                           const std::string& to) {
    for (size_t at = 0; (at = text.find(from, at)) != text.npos;
         at += to.size())
      text.replace(at, from.size(), to);
    return text;
  };
  // Canonical JSON escapes no line break.
  const auto canonical = [&](const std::string& json) {
    return replaced(json, "\\n", "\n");
  };
  const std::string one =
      R"({"keytype":")" + type + R"(","keyval":{"public":")" +
      replaced(key.Pem(), "\n", "\\n") + R"("},"scheme":")" + scheme + R"("})";
  const std::string id = HexEncode(crypto::Sha256Digest(canonical(one)));
  const std::string role = R"({"keyids":[")" + id + R"("],"threshold":1})";
  const std::string content =
      R"({"_type":"root","consistent_snapshot":true,)"
      R"("expires":"2036-01-01T00:00:00Z","keys":{")" +
      id + R"(":)" + one + R"(},"roles":{"root":)" + role + R"(,"snapshot":)" +
      role + R"(,"targets":)" + role + R"(,"timestamp":)" + role +
      R"(},"spec_version":"1.0.31","version":1})";
  return R"({"signatures":[{"keyid":")" + id + R"(","sig":")" +
         HexEncode(key.Sign(canonical(content), padding)) + R"("}],"signed":)" +
         content + "}";
}

// What SHOAL_INTEROP_ALGORITHMS=OFF builds takes none of it.
TEST(InteropAlgorithms, T01_AShoalTufWithoutThemTrustsNoPemKey) {
  const testing::TempDir dir;
  const Secret ec = Secret::Ec("P-256");
  const Secret rsa = Secret::Rsa(2048);
  const std::vector<std::string> roots = {
      RootOf("ecdsa", "ecdsa-sha2-nistp256", ec, 0),
      RootOf("rsa", "rsassa-pss-sha256", rsa, RSA_PKCS1_PSS_PADDING)};
  for (size_t i = 0; i < roots.size(); ++i) {
    const std::string name = std::to_string(i);
    ASSERT_OK(RealFileSystem().WriteAtomic(dir.File(name + ".json"), roots[i]));
    for (const char* program : {"shoal-tuf", "shoal-tuf-plain"}) {
      ASSERT_OK_AND_ASSIGN(
          const auto result,
          testing::Run({testing::BinPath(program), "--metadata-dir",
                        dir.File(program + name), "init",
                        dir.File(name + ".json")}));
      if (program == std::string("shoal-tuf")) {
        EXPECT_EQ(result.status.code, 0) << result.output;
      } else {
        EXPECT_EQ(result.status.code, 1);
        EXPECT_NE(result.output.find("(bad_signature)"), std::string::npos)
            << result.output;
      }
    }
  }
}

}  // namespace
}  // namespace shoal::signing
