#include "dht/records/key_ring.h"

#include <gtest/gtest.h>

#include "common/crypto/hash.h"
#include "tests/support/status_matchers.h"

namespace shoal::dht {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

pairing::v1::NetworkKey Key(uint32_t epoch, char fill) {
  pairing::v1::NetworkKey key;
  key.set_epoch(epoch);
  key.set_key(std::string(32, fill));
  return key;
}

TEST(KeyRing, OpensWhatItSealed) {
  KeyRing ring;
  ASSERT_OK(ring.SetKeys({Key(0, 'b'), Key(3, 'c')}));
  EXPECT_EQ(ring.newest(), 3u);
  const std::string datagram = ring.Seal(0, Channel::kShoal, "hello");
  EXPECT_EQ(datagram.size(), 5 + kDatagramOverhead);
  const auto opened = ring.Open(datagram);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->epoch, 0u);
  EXPECT_EQ(opened->channel, Channel::kShoal);
  EXPECT_EQ(opened->payload, "hello");
  // An epoch that is gone: the newest.
  EXPECT_EQ(ring.Open(ring.Seal(2, Channel::kOpenDht, ""))->epoch, 3u);
}

TEST(KeyRing, T47_EveryChangedByteIsNoticed) {
  KeyRing ring;
  ASSERT_OK(ring.SetKeys({Key(1, 'a'), Key(257, 'a')}));
  const std::string datagram = ring.Seal(1, Channel::kOpenDht, "payload");
  for (size_t i = 0; i < datagram.size(); ++i) {
    std::string changed = datagram;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(ring.Open(changed)) << "byte " << i;
  }
  for (size_t size = 0; size < datagram.size(); ++size)
    EXPECT_FALSE(ring.Open(datagram.substr(0, size)));
  // The epoch is bound too, even where both epochs have one key.
  std::string moved = datagram;
  moved[3] = 1;
  EXPECT_FALSE(ring.Open(moved));
}

TEST(KeyRing, T47_AStrangersKeyOpensNothing) {
  KeyRing ours, theirs;
  ASSERT_OK(ours.SetKeys({Key(1, 'a')}));
  ASSERT_OK(theirs.SetKeys({Key(1, 'x')}));
  EXPECT_FALSE(ours.Open(theirs.Seal(1, Channel::kOpenDht, "hi")));
}

TEST(KeyRing, T52_ARetiredKeyOpensAndIsKnownAsRetired) {
  KeyRing node;
  ASSERT_OK(node.SetKeys({Key(0, 'b'), Key(7, 'n')}));
  node.SetRetired({Key(3, 'o'), Key(7, 'x')});
  KeyRing away;
  ASSERT_OK(away.SetKeys({Key(3, 'o')}));
  const auto opened = node.Open(away.Seal(3, Channel::kShoal, "hello"));
  ASSERT_TRUE(opened);
  EXPECT_TRUE(opened->retired);
  EXPECT_EQ(opened->payload, "hello");
  EXPECT_FALSE(node.Open(node.Seal(7, Channel::kShoal, ""))->retired)
      << "an epoch in force is not replaced by a retired one";
  EXPECT_TRUE(away.Open(node.Seal(3, Channel::kShoal, "answer")));
  EXPECT_EQ(node.newest(), 7u);
  // Put into force again.
  ASSERT_OK(node.SetKeys({Key(3, 'o'), Key(7, 'n')}));
  EXPECT_FALSE(node.Open(away.Seal(3, Channel::kShoal, ""))->retired);
}

TEST(KeyRing, StepsThroughTheEpochsInForce) {
  KeyRing ring;
  ASSERT_OK(ring.SetKeys({Key(0, 'b'), Key(3, 'c'), Key(9, 'd')}));
  EXPECT_EQ(ring.Older(0), 9u);
  EXPECT_EQ(ring.Older(1), 3u);
  EXPECT_EQ(ring.Older(2), 9u) << "never to the bootstrap key";
  ASSERT_OK(ring.SetKeys({Key(0, 'b')}));
  EXPECT_EQ(ring.Older(5), 0u);
}

TEST(KeyRing, RefusesBadKeysAndKeepsTheOld) {
  KeyRing ring;
  ASSERT_OK(ring.SetKeys({Key(1, 'a')}));
  auto short_key = Key(2, 'b');
  short_key.set_key("short");
  EXPECT_THAT(ring.SetKeys({short_key}), FailsBecause("bad_network_keys"));
  EXPECT_THAT(ring.SetKeys({}), FailsBecause("bad_network_keys"));
  EXPECT_THAT(ring.SetKeys({Key(2, 'b'), Key(2, 'c')}),
              FailsBecause("bad_network_keys"));
  EXPECT_EQ(ring.newest(), 1u);
}

}  // namespace
}  // namespace shoal::dht
