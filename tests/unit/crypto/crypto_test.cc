#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"
#include "common/crypto/secret.h"
#include "tests/support/status_matchers.h"

namespace shoal::crypto {
namespace {

using ::shoal::testing::Fails;

std::string FromHex(std::string_view hex) { return HexDecode(hex).value(); }

TEST(Hash, Sha256KnownVector) {
  // FIPS 180-4's example.
  const std::string expected =
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(HexEncode(Sha256Digest("abc")), expected);
  Sha256 hash;
  hash.Update("a");
  Sha256 branch = hash;
  hash.Update("bc");
  EXPECT_EQ(HexEncode(hash.Finish()), expected);
  branch.Update("bc");
  EXPECT_EQ(HexEncode(branch.Finish()), expected);
  hash.Update("abc");  // a new stream after Finish
  EXPECT_EQ(HexEncode(hash.Finish()), expected);
}

TEST(Hash, Blake2bKnownVectorAndKey) {
  // RFC 7693, appendix A.
  EXPECT_EQ(HexEncode(Blake2b("", "abc", 64)).substr(0, 32),
            "ba80a53f981c4d0d6a2797b69f12f6e9");
  EXPECT_NE(Blake2b(std::string(32, 'k'), "abc"), Blake2b("", "abc"));
}

TEST(Hash, RandomBytesDiffer) {
  EXPECT_EQ(RandomBytes(32).size(), 32u);
  EXPECT_NE(RandomBytes(32), RandomBytes(32));
}

TEST(Secret, MovesAndWipesTheSource) {
  std::string source = "hush";
  SecretBytes a = SecretBytes::TakeFrom(source);
  EXPECT_TRUE(source.empty());
  SecretBytes b = std::move(a);
  EXPECT_EQ(b.view(), "hush");
  EXPECT_TRUE(a.empty());  // NOLINT: moved-from is defined as empty
}

TEST(Ed25519, Rfc8032Vector) {
  ASSERT_OK_AND_ASSIGN(const SigningKey key,
                       SigningKey::FromSeed(SecretBytes(
                           FromHex("9d61b19deffd5a60ba844af492ec2cc44449c5697b3"
                                   "26919703bac031cae7f60"))));
  EXPECT_EQ(HexEncode(key.public_key()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  const std::string signature = key.Sign("");
  EXPECT_EQ(HexEncode(signature).substr(0, 32),
            "e5564300c360ac729086e2cc806e828a");
  EXPECT_TRUE(Ed25519Verify(key.public_key(), "", signature));
  EXPECT_FALSE(Ed25519Verify(key.public_key(), "x", signature));
}

TEST(Ed25519, RefusesSmallOrderKeysAndWrongLengths) {
  // The neutral point as public key verifies anything under lax rules.
  std::string neutral(32, '\0');
  neutral[0] = 1;
  std::string signature(64, '\0');
  signature[0] = 1;
  EXPECT_FALSE(Ed25519Verify(neutral, "anything", signature));
  const SigningKey key = SigningKey::Generate();
  EXPECT_FALSE(Ed25519Verify(key.public_key().substr(1), "m", key.Sign("m")));
  EXPECT_FALSE(Ed25519Verify(key.public_key(), "m", ""));
  EXPECT_THAT(SigningKey::FromSeed(SecretBytes("short")),
              Fails(absl::StatusCode::kInvalidArgument, "bad_key"));
}

TEST(Ed25519, SigningInputIsUnambiguous) {
  const std::string fleet(32, 'F');
  EXPECT_EQ(SigningInput("ab", fleet, "c"),
            std::string("\0\2ab", 4) + fleet + "c");
}

TEST(Box, SealedOpensOnlyForTheRecipient) {
  const BoxKey alice = BoxKey::Generate();
  const BoxKey eve = BoxKey::Generate();
  ASSERT_OK_AND_ASSIGN(std::string sealed, SealTo(alice.public_key(), "hello"));
  EXPECT_EQ(sealed.size(), 5 + kBoxOverhead);
  ASSERT_OK_AND_ASSIGN(const std::string plain, alice.Open(sealed));
  EXPECT_EQ(plain, "hello");
  EXPECT_THAT(eve.Open(sealed),
              Fails(absl::StatusCode::kDataLoss, "not_decryptable"));
  sealed.back() = static_cast<char>(sealed.back() ^ 1);
  EXPECT_THAT(alice.Open(sealed),
              Fails(absl::StatusCode::kDataLoss, "not_decryptable"));
  EXPECT_THAT(SealTo("short", "x"),
              Fails(absl::StatusCode::kInvalidArgument, "bad_key"));
  ASSERT_OK_AND_ASSIGN(const BoxKey again, BoxKey::FromSecret(alice.secret()));
  EXPECT_EQ(again.public_key(), alice.public_key());
}

TEST(Box, AeadBindsKeyNonceAndAssociatedData) {
  const std::string key = RandomBytes(32);
  const std::string nonce = RandomBytes(24);
  const std::string sealed = AeadSeal(key, nonce, "ad", "text");
  ASSERT_OK_AND_ASSIGN(const std::string plain,
                       AeadOpen(key, nonce, "ad", sealed));
  EXPECT_EQ(plain, "text");
  const auto lost = Fails(absl::StatusCode::kDataLoss, "not_decryptable");
  EXPECT_THAT(AeadOpen(key, nonce, "AD", sealed), lost);
  EXPECT_THAT(AeadOpen(RandomBytes(32), nonce, "ad", sealed), lost);
  EXPECT_THAT(AeadOpen(key, RandomBytes(24), "ad", sealed), lost);
  EXPECT_THAT(AeadOpen(key, nonce, "ad", "short"), lost);
}

}  // namespace
}  // namespace shoal::crypto
