// What is encoded comes back, is small where it should be, and is the same
// bytes everywhere.
#include "delta/entropy/mix_coder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/delta_entropy/mix_test_support.h"

namespace shoal::delta {
namespace {

size_t SizeOf(const std::vector<std::string>& windows) {
  size_t sum = 0;
  for (const std::string& w : windows) sum += w.size();
  return sum;
}

void ExpectRoundTrip(const Script& script, int level) {
  const std::vector<std::string> windows = Encode(script, level);
  const Decoded decoded = Decode(script, windows, level);
  ASSERT_TRUE(decoded.status.ok()) << decoded.status;
  EXPECT_EQ(decoded.numbers, NumbersOf(script));
  EXPECT_TRUE(decoded.result == script.new_image);
}

TEST(MixCoder, WhatIsEncodedComesBack) {
  for (const Shape shape : kShapes) {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
      SCOPED_TRACE(::testing::Message()
                   << "shape " << static_cast<int>(shape) << " seed " << seed);
      const size_t size = seed % 4 == 0 ? 20000 : 1 + seed * 37;
      ExpectRoundTrip(MakeScript(seed, shape, size),
                      seed % 4 == 0 ? 4 : static_cast<int>(seed % 4));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(MixCoder, EveryLevelGivesTheBytesBackAndSaysItsMemory) {
  const size_t limits[] = {0, 1258291, 2621440, 5242880, 10485760};
  for (int level = kMinMixLevel; level <= kMaxMixLevel; ++level) {
    EXPECT_LE(MixMemory(level), limits[level]);
    EXPECT_GT(MixMemory(level), MixMemory(level - 1));
    ExpectRoundTrip(MakeScript(7, Shape::kArm64, 50000), level);
  }
}

TEST(MixCoder, OtherLevelsAreRefused) {
  for (const int level : {-1, 0, 5, 1000}) {
    EXPECT_EQ(MixMemory(level), 0u);
    EXPECT_EQ(ReasonOf(MixEncoder::Create(level).status()), "bad_argument");
    EXPECT_EQ(ReasonOf(MixDecoder::Create(level).status()), "bad_argument");
  }
}

TEST(MixCoder, NumbersOfAllSizes) {
  Script script;
  std::vector<uint64_t> values = {0, 1, 2, 3, ~uint64_t{0}, 1ull << 63};
  for (int i = 0; i < 64; ++i)
    for (const uint64_t v : {1ull << i, (1ull << i) - 1, (1ull << i) + 1})
      values.push_back(v);
  for (const uint64_t v : values) {
    for (int kind = 0; kind < kNumberKinds; ++kind)
      script.calls.push_back(
          {Call::kNumber, static_cast<NumberKind>(kind), v, 0, 0});
    script.calls.push_back({Call::kPlace, NumberKind::kOther0, v, ~v * 3, 0});
    script.calls.push_back({Call::kPlace, NumberKind::kOther0, v, v, 0});
  }
  script.calls.push_back({Call::kEndWindow, NumberKind::kOther0, 0, 0, 0});
  ExpectRoundTrip(script, 1);
}

// One Add of the whole image.
Script WholeAdd(std::string old_image, std::string new_image) {
  Script script;
  script.calls = {{Call::kAdd, NumberKind::kOther0, 0, 0, new_image.size()},
                  {Call::kEndWindow, NumberKind::kOther0, 0, 0, 0}};
  script.old_image = std::move(old_image);
  script.new_image = std::move(new_image);
  return script;
}

TEST(MixCoder, EqualImagesCostNearlyNothing) {
  Numbers numbers(3);
  std::string image = MakeImage(numbers, Shape::kRandom, 4 << 20);
  Script same = WholeAdd(image, image);
  EXPECT_LE(SizeOf(Encode(same, 3)), 8u);
  ExpectRoundTrip(same, 3);
  Script one = WholeAdd(image, image);
  one.new_image[1234567] = static_cast<char>(one.new_image[1234567] + 1);
  EXPECT_LE(SizeOf(Encode(one, 3)), 24u);
  ExpectRoundTrip(one, 3);
}

// A word list: calls to few functions; one insertion moves all of them, so
// every call's distance changes. Each call must be predicted.
TEST(MixCoder, BranchesFollowTheirTargets) {
  Numbers numbers(5);
  std::string old_image, new_image;
  constexpr uint32_t kFunctions = 200, kCalls = 20000;
  const auto append = [](std::string& out, uint32_t v) {
    for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(v >> (8 * i)));
  };
  for (uint32_t i = 0; i < kCalls; ++i) {
    // Behind the calls are the functions, 64 bytes each.
    const uint32_t target =
        kCalls * 4 + static_cast<uint32_t>(numbers.Below(kFunctions)) * 64;
    append(old_image, 0x94000000 | (target - i * 4) / 4);
    append(new_image, 0x94000000 | (target + 64 - i * 4) / 4);
  }
  const size_t changed = kCalls;
  Script script = WholeAdd(old_image, new_image);
  EXPECT_LE(SizeOf(Encode(script, 3)), changed / 50);
  ExpectRoundTrip(script, 3);
}

// A region may be coded in several calls, cut at blocks.
TEST(MixCoder, CutsAtBlocksDoNotMatter) {
  Numbers numbers(11);
  std::string old_image = MakeImage(numbers, Shape::kX86, 40000);
  std::string new_image = old_image;
  for (size_t i = 500; i < new_image.size(); i += 1 + numbers.Below(700))
    new_image[i] = static_cast<char>(new_image[i] + 3);
  const std::vector<std::string> whole =
      Encode(WholeAdd(old_image, new_image), 2);
  Script cut = WholeAdd(old_image, new_image);
  cut.calls.clear();
  for (size_t at = 0; at < new_image.size();) {
    const size_t n =
        std::min((1 + numbers.Below(3)) * kMixBlock, new_image.size() - at);
    cut.calls.push_back({Call::kAdd, NumberKind::kOther0, at, at, n});
    at += n;
  }
  cut.calls.push_back({Call::kEndWindow, NumberKind::kOther0, 0, 0, 0});
  EXPECT_EQ(Encode(cut, 2), whole);
  const Decoded decoded = Decode(cut, whole, 2);
  EXPECT_TRUE(decoded.status.ok());
  EXPECT_TRUE(decoded.result == new_image);
}

// Only the stated margin of the base is looked at.
TEST(MixCoder, BytesBeyondTheMarginDoNotMatter) {
  Numbers numbers(13);
  const std::string old_image = MakeImage(numbers, Shape::kArm64, 9000);
  std::string fresh = old_image.substr(3000, 2000);
  for (size_t i = 0; i < fresh.size(); i += 40) fresh[i] ^= 5;
  const auto encode = [&](std::string_view old_bytes, size_t begin) {
    auto e = MixEncoder::Create(1);
    (*e)->Add({Bytes(old_bytes), begin, 3000}, 3100, Bytes(fresh));
    (*e)->Insert({Bytes(old_bytes), begin, 3000}, 5100, Bytes(fresh));
    return (*e)->EndWindow();
  };
  EXPECT_EQ(encode(old_image, 3000),
            encode(old_image.substr(3000 - kMixMargin, 2000 + 2 * kMixMargin),
                   kMixMargin));
}

TEST(MixCoder, ResetForgetsAll) {
  const Script script = MakeScript(17, Shape::kText, 8000);
  auto e = MixEncoder::Create(1);
  const auto encode = [&] {
    (*e)->Add({Bytes(script.old_image), 0, 0}, 0,
              Bytes(script.new_image).first(7000));
    (*e)->Number(NumberKind::kOther1, 77);
    (*e)->Place(5, 900);
    return (*e)->EndWindow();
  };
  const std::string first = encode();
  EXPECT_LT(encode().size(), first.size());  // it had learned
  (*e)->Reset();
  EXPECT_EQ(encode(), first);
}

// The format: these bytes may not change without a new kModelVersion.
TEST(MixCoder, KnownAnswers) {
  crypto::Sha256 digest;
  for (const Shape shape : kShapes)
    for (int level = kMinMixLevel; level <= kMaxMixLevel; ++level)
      for (const std::string& w : Encode(MakeScript(99, shape, 30000), level))
        digest.Update(w);
  EXPECT_EQ(HexEncode(digest.Finish()),
            "b6fbf8c7eace3276ca98c980fa7c964d681ea8b67981cd1bd306b8cc18823da5");
}

}  // namespace
}  // namespace shoal::delta
