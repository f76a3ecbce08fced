// Every codec: there and back, bounds, identities.
#include "delta/image/codec.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <random>

#include "tests/support/status_matchers.h"
#include "tests/unit/delta_image/image_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

std::vector<CodecSetting> EveryKind() {
  CodecSetting streamed_xz = OneCallXz(1 << 20);
  streamed_xz.wrapper = 1;
  streamed_xz.filter = 4;
  streamed_xz.level = 16 + 9;
  CodecSetting small = Deflate(1);
  small.window = 10;
  small.memory = 9;
  small.strategy = 2;
  return {Deflate(9, true),
          Deflate(6),
          small,
          OneCallXz(128 << 10),
          streamed_xz,
          {.codec = ImageCodec::kZstd, .level = 15},
          {.codec = ImageCodec::kZstd, .level = 3, .check = 1},
          {.codec = ImageCodec::kLz4},
          {.codec = ImageCodec::kLz4Hc, .level = 12},
          {.codec = ImageCodec::kLz4Hc, .level = 9}};
}

TEST(Codec, ThereAndBack) {
  std::mt19937_64 random(1);
  for (const CodecSetting& setting : EveryKind()) {
    SCOPED_TRACE(Describe(setting));
    for (const size_t size : {1u, 100u, 8192u, 131072u, 1048576u}) {
      for (const std::string& raw :
           {WordsAndNoise(random, size), Noise(random, size),
            std::string(size, 'x')}) {
        const std::string stored = Compress(setting, raw);
        BlockCodec codec;
        std::string back(size, '\0');
        ASSERT_OK(codec.Expand(setting, stored, back.data(), size));
        EXPECT_TRUE(back == raw);
        // A length that is not the block's is an error, not a guess.
        back.resize(size + 1);
        EXPECT_THAT(codec.Expand(setting, stored, back.data(), size + 1),
                    Fails(absl::StatusCode::kDataLoss, "image_block"));
        EXPECT_THAT(codec.Expand(setting, stored, back.data(), size - 1),
                    FailsBecause("image_block"));
      }
    }
  }
}

TEST(Codec, T31_MoreThanTheLimitIsRefused) {
  std::mt19937_64 random(2);
  const std::string raw = WordsAndNoise(random, 50000);
  for (const CodecSetting& setting : EveryKind()) {
    SCOPED_TRACE(Describe(setting));
    const size_t length = Compress(setting, raw).size();
    BlockCodec codec;
    for (const size_t limit : {length, length - 1, size_t{10}}) {
      ASSERT_OK_AND_ASSIGN(char* const room,
                           codec.Prepare(setting, raw.size()));
      memcpy(room, raw.data(), raw.size());
      const auto stored = codec.Compress(limit);
      if (limit == length) {
        ASSERT_OK(stored);
        EXPECT_EQ(stored->size(), length);
      } else {
        EXPECT_THAT(stored, FailsBecause("image_block"));
      }
    }
    EXPECT_THAT(codec.Prepare(setting, kMaxStreamedBlock),
                FailsBecause("image_block"));
  }
}

TEST(Codec, T31_SettingsOutOfRangeAreRefused) {
  for (const CodecSetting& setting : EveryKind()) {
    EXPECT_OK(CheckSetting(setting));
    for (uint8_t CodecSetting::*number :
         {&CodecSetting::level, &CodecSetting::window, &CodecSetting::memory,
          &CodecSetting::strategy, &CodecSetting::wrapper, &CodecSetting::check,
          &CodecSetting::filter}) {
      CodecSetting other = setting;
      other.*number = 77;
      EXPECT_THAT(CheckSetting(other), FailsBecause("image_map"));
      BlockCodec codec;
      EXPECT_THAT(codec.Prepare(other, 100), FailsBecause("image_map"));
    }
    CodecSetting other = setting;
    other.dictionary = UINT32_MAX;
    EXPECT_THAT(CheckSetting(other), FailsBecause("image_map"));
    other = setting;
    other.codec = static_cast<ImageCodec>(7);
    EXPECT_THAT(CheckSetting(other), FailsBecause("image_map"));
  }
}

TEST(Codec, T31_AnLz4MatchWithItselfIsRefused) {
  // One literal, a match of 8 at distance 0, then 12 literals: liblz4 leaves
  // eight bytes of the output as they were.
  const std::string stored = std::string(
                                 "\x14"
                                 "a"
                                 "\0\0"
                                 "\xc0",
                                 5) +
                             "last literal";
  const CodecSetting setting{.codec = ImageCodec::kLz4};
  std::string raw(21, '?');
  BlockCodec codec;
  EXPECT_THAT(codec.Expand(setting, stored, raw.data(), raw.size()),
              FailsBecause("image_block"));
  std::string sound = stored;
  sound[2] = 1;
  ASSERT_OK(codec.Expand(setting, sound, raw.data(), raw.size()));
  EXPECT_EQ(raw, "aaaaaaaaalast literal");
}

TEST(Codec, TheSameBytesAgainAndAgainFromOneObject) {
  std::mt19937_64 random(3);
  const std::string raw = WordsAndNoise(random, 131072);
  BlockCodec codec;
  for (int round = 0; round < 3; ++round) {
    for (const CodecSetting& setting : EveryKind()) {
      ASSERT_OK_AND_ASSIGN(char* const room,
                           codec.Prepare(setting, raw.size()));
      memcpy(room, raw.data(), raw.size());
      ASSERT_OK_AND_ASSIGN(const std::string_view stored,
                           codec.Compress(MaxStoredLength(raw.size())));
      EXPECT_EQ(stored, Compress(setting, raw)) << Describe(setting);
    }
  }
}

size_t Allocated() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST(Codec, TakesNoMoreMemoryThanDeclared) {
  std::mt19937_64 random(4);
  for (const CodecSetting& setting : EveryKind()) {
    for (const uint32_t size : {8192u, 131072u, 1048576u}) {
      const std::string raw = WordsAndNoise(random, size);
      const size_t before = Allocated();
      BlockCodec codec;
      ASSERT_OK_AND_ASSIGN(char* const room, codec.Prepare(setting, size));
      memcpy(room, raw.data(), size);
      ASSERT_OK(codec.Compress(size));
      // liblzma gives its memory back; what it says it takes is believed.
      EXPECT_LE(Allocated() - before, CompressMemory(setting, size) + 4096)
          << Describe(setting) << " of " << size;
    }
  }
}

TEST(Codec, ALongLz4BlockAsAWhole) {
  std::mt19937_64 random(5);
  const std::string raw =
      Noise(random, 1 << 20) + WordsAndNoise(random, 2 << 20);
  for (const int level : {9, 12}) {
    const CodecSetting setting{.codec = ImageCodec::kLz4Hc,
                               .level = static_cast<uint8_t>(level)};
    const std::string stored = Compress(setting, raw);
    BlockCodec codec;
    std::string back(raw.size(), '\0');
    ASSERT_OK(codec.Expand(setting, stored, back.data(), back.size()));
    EXPECT_TRUE(back == raw);
  }
}

}  // namespace
}  // namespace shoal::delta
