#include "rules/position.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "common/bytes.h"
#include "common/crypto/hash.h"

namespace shoal::rules {
namespace {

TEST(Position, IsWhatTheHeaderSays) {
  const std::string id(16, '\x42');
  std::string input("shoal.position.v1\0r1\0", 21);
  input += id;
  EXPECT_EQ(Position("r1", id), ReadBigEndian(crypto::Sha256Digest(input), 4));
}

TEST(Position, DependsOnRolloutAndDevice) {
  EXPECT_NE(Position("r1", "a"), Position("r2", "a"));
  EXPECT_NE(Position("r1", "a"), Position("r1", "b"));
  // The separator keeps ("r1", "1a") apart from ("r11", "a").
  EXPECT_NE(Position("r1", "1a"), Position("r11", "a"));
}

TEST(Position, IsUniform) {
  std::array<int, 16> buckets{};
  for (int i = 0; i < 16000; ++i)
    ++buckets[Position("rollout", std::to_string(i)) >> 28];
  // Standard deviation of a bucket is 31: five of them either side.
  for (int count : buckets) EXPECT_NEAR(count, 1000, 155);
}

}  // namespace
}  // namespace shoal::rules
