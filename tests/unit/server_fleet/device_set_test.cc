#include "server/fleet/device_set.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace shoal::server {
namespace {

TEST(DeviceSet, ChunksHoldWhatWasPutInAcrossBothForms) {
  std::mt19937 random(7);
  std::string chunk;
  std::set<uint32_t> truth;
  // Up over the change of form, and down again.
  for (int i = 0; i < 6000; ++i) {
    const uint32_t number = random() % kChunkSize;
    if (i < 3000 ? random() % 8 != 0 : random() % 8 == 0) {
      chunk = ChunkWith(chunk, number);
      truth.insert(number);
    } else {
      chunk = ChunkWithout(chunk, number);
      truth.erase(number);
    }
    EXPECT_LE(chunk.size(), 512u);
    if (i % 100 != 0) continue;
    DeviceSet set;
    ASSERT_TRUE(set.AddChunk(3, chunk));
    std::set<uint32_t> seen;
    set.ForEach([&](uint32_t n) {
      seen.insert(n - 3 * kChunkSize);
      return true;
    });
    ASSERT_EQ(seen, truth);
    ASSERT_EQ(set.Count(), truth.size());
  }
  for (uint32_t i = 0; i < kChunkSize; ++i) chunk = ChunkWithout(chunk, i);
  EXPECT_TRUE(chunk.empty());
}

TEST(DeviceSet, DamagedChunksAreRefused) {
  DeviceSet set;
  EXPECT_FALSE(set.AddChunk(0, "abc"));
  EXPECT_FALSE(set.AddChunk(0, std::string(514, '\0')));
  EXPECT_FALSE(set.AddChunk(0, "\xff\xff"));
  EXPECT_FALSE(set.AddChunk(0xffffffff, std::string(2, '\0')));
}

TEST(DeviceSet, Algebra) {
  DeviceSet a;
  DeviceSet b;
  for (const uint32_t n : {1u, 64u, 5000u}) a.Add(n);
  for (const uint32_t n : {64u, 100000u}) b.Add(n);
  DeviceSet both = a;
  both &= b;
  EXPECT_EQ(both.Count(), 1u);
  EXPECT_TRUE(both.Contains(64));
  DeviceSet any = a;
  any |= b;
  EXPECT_EQ(any.Count(), 4u);
  DeviceSet only = a;
  only -= b;
  EXPECT_EQ(only.Count(), 2u);
  DeviceSet differ = a;
  differ ^= b;
  EXPECT_EQ(differ.Count(), 3u);
  EXPECT_TRUE(DeviceSet().empty());
  EXPECT_FALSE(DeviceSet().Contains(12));
}

}  // namespace
}  // namespace shoal::server
