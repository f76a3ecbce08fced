#include "signing/verify/seen_signatures.h"

#include <gtest/gtest.h>

#include "common/crypto/ed25519.h"

namespace shoal::signing {
namespace {

TEST(SeenSignatures, ASignatureIsGoodForItsOwnKeyAndMessageAlone) {
  SeenSignatures seen;
  const auto key = crypto::SigningKey::Generate();
  const auto other = crypto::SigningKey::Generate();
  const std::string signature = key.Sign("message");
  for (int i = 0; i < 2; ++i) {  // computed, and remembered
    EXPECT_TRUE(seen.Verify(key.public_key(), "message", signature));
    EXPECT_FALSE(seen.Verify(other.public_key(), "message", signature));
    EXPECT_FALSE(seen.Verify(key.public_key(), "messagf", signature));
    EXPECT_FALSE(
        seen.Verify(key.public_key(), "message", other.Sign("message")));
  }
  EXPECT_EQ(seen.size(), 1u) << "what is bad is not remembered";
  // Bytes do not move from one part into another.
  EXPECT_FALSE(seen.Verify(key.public_key() + signature.substr(0, 1), "message",
                           signature.substr(1)));
  EXPECT_FALSE(seen.Verify("", "message", signature));
  EXPECT_FALSE(seen.Verify(key.public_key(), "message", ""));
}

TEST(SeenSignatures, ItsMemoryIsBounded) {
  SeenSignatures seen(4);
  const auto key = crypto::SigningKey::Generate();
  for (int i = 0; i < 20; ++i) {
    const std::string message = std::to_string(i);
    EXPECT_TRUE(seen.Verify(key.public_key(), message, key.Sign(message)));
    EXPECT_LE(seen.size(), 4u);
  }
  EXPECT_TRUE(seen.Verify(key.public_key(), "0", key.Sign("0")));
}

}  // namespace
}  // namespace shoal::signing
