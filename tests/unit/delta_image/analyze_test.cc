// What is found in images, and that nothing that is found changes a byte.
#include <gtest/gtest.h>
#include <lzma.h>
#include <zstd.h>

#include <atomic>
#include <random>

#include "tests/support/status_matchers.h"
#include "tests/unit/delta_image/image_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::IsOk;

ImageMap MapOf(const std::string& image, const AnalyzeOptions& options = {}) {
  auto map = Analyze(ReadsFrom(image), image.size(), options);
  EXPECT_OK(map);
  return map.ok() ? *map : ImageMap{};
}

// Analysed alone (against an empty old image), the image must come back, and
// `raw` must stand in its expanded image.
void ExpectFound(const std::string& image, std::string_view raw,
                 const CodecSetting& setting) {
  SCOPED_TRACE(Describe(setting));
  const ImageMap map = MapOf(image);
  ASSERT_EQ(CountBlocks(map), 1u);
  ASSERT_EQ(map.settings.size(), 1u);
  EXPECT_EQ(map.settings[0], setting);
  const std::string expanded = Expanded(map, image);
  EXPECT_TRUE(expanded.find(raw) != std::string::npos);
  const Rebuilt rebuilt = Rebuild({ImageMap{}, map}, "", expanded, 999);
  EXPECT_OK(rebuilt.status);
  EXPECT_TRUE(rebuilt.written == image);
}

TEST(Analyze, GzipMembersOfEveryLevel) {
  std::mt19937_64 random(1);
  const std::string raw = WordsAndNoise(random, 300000);
  const std::string junk = Noise(random, 5000);
  for (int level = 1; level <= 9; ++level) {
    for (const int memory : {8, 9}) {
      const std::string image = junk + GzipMember(raw, level, memory) + junk;
      const ImageMap map = MapOf(image);
      ASSERT_EQ(CountBlocks(map), 1u) << level << " " << memory;
      const std::string expanded = Expanded(map, image);
      EXPECT_TRUE(expanded.find(raw) != std::string::npos);
      const Rebuilt rebuilt = Rebuild({ImageMap{}, map}, "", expanded, 40000);
      EXPECT_OK(rebuilt.status);
      EXPECT_TRUE(rebuilt.written == image) << level << " " << memory;
    }
  }
}

TEST(Analyze, AGzipMemberWithNameExtraFieldAndComment) {
  std::mt19937_64 random(2);
  const std::string raw = WordsAndNoise(random, 3000);
  std::string member = GzipMember(raw, 6);
  member[3] = 4 + 8 + 16 + 2;
  member.insert(10, std::string("\x03\0abcname\0a comment\0CR", 22));
  ExpectFound("junk" + member, raw, Deflate(6));
}

TEST(Analyze, ALongGzipMember) {
  std::mt19937_64 random(3);
  const std::string raw = WordsAndNoise(random, 5 << 20);
  ExpectFound(GzipMember(raw, 9), raw, Deflate(9));
}

TEST(Analyze, ZstdFramesInOneCall) {
  std::mt19937_64 random(4);
  const std::string raw = WordsAndNoise(random, 100000);
  for (const int level : {1, 3, 19}) {
    const CodecSetting setting{.codec = ImageCodec::kZstd,
                               .level = static_cast<uint8_t>(level)};
    ExpectFound("x" + Compress(setting, raw) + "y", raw, setting);
  }
}

TEST(Analyze, XzStreamsOfBothEncoders) {
  std::mt19937_64 random(5);
  const std::string raw = WordsAndNoise(random, 100000);
  CodecSetting setting = OneCallXz(131072);
  ExpectFound("x" + Compress(setting, raw) + "y", raw, setting);
  setting.wrapper = 1;
  setting.check = 4;
  setting.filter = 4;
  setting.level = 3;
  ExpectFound("x" + Compress(setting, raw) + "y", raw, setting);
}

TEST(Analyze, AnLz4KernelsStreamOfSeveralBlocks) {
  std::mt19937_64 random(6);
  const std::string raw = WordsAndNoise(random, (8 << 20) + 100000);
  const std::string stream = Lz4Legacy(raw, 9);
  // After the stream a kernel has the expanded length, which is no block.
  const std::string image =
      Noise(random, 20000) + stream + LittleEndianBytes(raw.size(), 4) + "end";
  AnalyzeOptions options;
  options.max_rebuild_memory = 700 << 10;  // in pieces, not as a whole
  const ImageMap map = MapOf(image, options);
  EXPECT_EQ(CountBlocks(map), 2u);
  EXPECT_LT(RebuilderMemory(map), 700u << 10);
  const std::string expanded = Expanded(map, image);
  const Rebuilt rebuilt = Rebuild({ImageMap{}, map}, "", expanded, 1 << 20);
  EXPECT_OK(rebuilt.status);
  EXPECT_TRUE(rebuilt.written == image);
}

TEST(Analyze, OneInsideAnotherThreeDeep) {
  std::mt19937_64 random(7);
  const std::string core = WordsAndNoise(random, 20000);
  std::string image = core;
  for (int depth = 1; depth <= 5; ++depth) {
    image = Noise(random, 300) + GzipMember(image, 6) + Noise(random, 300);
    const ImageMap map = MapOf(image);
    EXPECT_EQ(map.layers.size(), std::min<size_t>(depth, kMaxLayers));
    const std::string expanded = Expanded(map, image);
    EXPECT_EQ(expanded.find(core) != std::string::npos, depth <= kMaxLayers);
    const Rebuilt rebuilt = Rebuild({ImageMap{}, map}, "", expanded, 777);
    EXPECT_OK(rebuilt.status);
    EXPECT_TRUE(rebuilt.written == image);
  }
}

TEST(Analyze, WhatNoSettingReproducesStaysRaw) {
  std::mt19937_64 random(8);
  const std::string raw = WordsAndNoise(random, 50000);
  // Flushed in the middle, as only some writers do.
  std::string member = GzipMember(raw, 6);
  std::string stored_deflate = "\x01" + LittleEndianBytes(200, 2) +
                               LittleEndianBytes(~200u, 2) + raw.substr(0, 200);
  const std::string other =
      member.substr(0, 10) + stored_deflate + std::string(8, '\0');
  const ImageMap map = MapOf(other);  // its checksum is wrong, too
  EXPECT_EQ(CountBlocks(map), 0u);
  EXPECT_EQ(map.ExpandedSize(), other.size());
}

TEST(Analyze, UnchangedBlocksAreVerbatimEvenWhereNothingReproducesThem) {
  std::mt19937_64 random(9);
  const std::string shared = WordsAndNoise(random, 30000);
  // Level 6 with a window that no search tries: not reproducible.
  CodecSetting odd = Deflate(6);
  odd.window = 10;
  const std::string body = Compress(odd, shared);
  const std::string gzip = GzipMember(shared, 6);
  const std::string member =
      gzip.substr(0, 10) + body + gzip.substr(gzip.size() - 8);
  const std::string old_image =
      "old" + member + GzipMember(WordsAndNoise(random, 9000), 6);
  const std::string new_image =
      GzipMember(WordsAndNoise(random, 9000), 6) + "new" + member + "end";
  const RoundTrip trip = ThereAndBack(old_image, new_image);
  EXPECT_TRUE(trip.rebuilt == new_image);
  EXPECT_EQ(CountVerbatim(trip.maps.new_map), 1u);
  EXPECT_EQ(CountBlocks(trip.maps.new_map), 1u);
}

TEST(Analyze, BlocksThatNeedTooMuchMemoryStayRaw) {
  std::mt19937_64 random(10);
  const std::string image = GzipMember(WordsAndNoise(random, 100000), 9) +
                            Compress({.codec = ImageCodec::kZstd, .level = 3},
                                     WordsAndNoise(random, 900000));
  AnalyzeOptions options;
  options.max_rebuild_memory = 1 << 20;
  EXPECT_EQ(CountBlocks(MapOf(image, options)), 1u);  // only the first one
  EXPECT_EQ(CountBlocks(MapOf(image)), 2u);
}

TEST(Analyze, T31_AZipBombStaysAsItIs) {
  const std::string image = GzipMember(std::string(32 << 20, 'x'), 9);
  EXPECT_LT(image.size(), 40000u);
  EXPECT_EQ(CountBlocks(MapOf(image)), 0u);
}

TEST(Analyze, MixesOfMembersAndJunk) {
  for (int seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    std::vector<std::string> parts;
    for (int i = 0; i < 8; ++i) {
      const std::string raw = WordsAndNoise(random, 1 + random() % 30000);
      switch (random() % 6) {
        case 0:
          parts.push_back(GzipMember(raw, 1 + random() % 9));
          break;
        case 1:
          parts.push_back(Lz4Legacy(raw, 9));
          break;
        case 2:
          parts.push_back(
              Compress({.codec = ImageCodec::kZstd,
                        .level = static_cast<uint8_t>(1 + random() % 19)},
                       raw));
          break;
        case 3:
          parts.push_back(GzipMember("in" + GzipMember(raw, 6), 9));
          break;
        case 4: {  // cut off or damaged
          std::string member = GzipMember(raw, 6);
          if (random() % 2) member.resize(random() % member.size());
          if (!member.empty()) member[random() % member.size()] ^= 8;
          parts.push_back(member);
          break;
        }
        default:
          parts.push_back(Noise(random, random() % 3000));
      }
    }
    std::string old_image, new_image;
    for (const std::string& part : parts) old_image += part;
    for (int i = 0; i < 4; ++i)
      std::swap(parts[random() % parts.size()], parts[random() % parts.size()]);
    parts[random() % parts.size()] = GzipMember(WordsAndNoise(random, 9000), 6);
    for (const std::string& part : parts) new_image += part;
    AnalyzeOptions options;
    options.threads = 1 + seed % 3;
    const RoundTrip trip = ThereAndBack(old_image, new_image, options);
    EXPECT_TRUE(trip.rebuilt == new_image);
  }
}

TEST(Analyze, EmptyAndTinyImages) {
  for (const std::string& image :
       {std::string(), std::string("\x1f"), std::string("hsqs"),
        std::string("\x02\x21\x4c\x18")}) {
    const RoundTrip trip = ThereAndBack(image, image);
    EXPECT_EQ(trip.rebuilt, image);
  }
}

TEST(Analyze, TheSameMapWithAnyNumberOfThreads) {
  std::mt19937_64 random(11);
  std::string image;
  for (int i = 0; i < 30; ++i)
    image += GzipMember(WordsAndNoise(random, 3000), 1 + i % 9);
  AnalyzeOptions options;
  options.threads = 1;
  const ImageMap one = MapOf(image, options);
  options.threads = 8;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(MapOf(image, options), one);
}

TEST(Analyze, CancelsAndTellsProgress) {
  std::mt19937_64 random(12);
  std::string image;
  for (int i = 0; i < 30; ++i)
    image += GzipMember(WordsAndNoise(random, 3000), 6);
  std::atomic<bool> cancel = false;
  AnalyzeOptions options;
  options.cancel = &cancel;
  uint64_t most = 0;
  options.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_LE(done, total);
    most = std::max(most, done);
    if (done > total / 2) cancel = true;
  };
  EXPECT_THAT(Analyze(ReadsFrom(image), image.size(), options),
              Fails(absl::StatusCode::kCancelled, "cancelled"));
  EXPECT_GT(most, image.size() / 2);
}

TEST(Analyze, ErrorsOfReadsComeThrough) {
  std::mt19937_64 random(13);
  const std::string image = GzipMember(WordsAndNoise(random, 3000), 6);
  const ReadAt read = [&](uint64_t, char*, size_t) {
    return Unavailable("io_eio", "broken disk");
  };
  EXPECT_THAT(Analyze(read, image.size(), {}),
              Fails(absl::StatusCode::kUnavailable, "io_eio"));
}

TEST(Analyze, ExpandingIsCancelledWithinAMiB) {
  std::mt19937_64 random(12);
  const std::string image = GzipMember(WordsAndNoise(random, 5 << 20), 1);
  ASSERT_OK_AND_ASSIGN(const ImageMap map,
                       Analyze(ReadsFrom(image), image.size(), {}));
  ASSERT_GT(map.ExpandedSize(), uint64_t{4} << 20);
  std::atomic<bool> cancel = false;
  uint64_t written = 0;
  const absl::Status status = WriteExpanded(
      map, ReadsFrom(image),
      [&](std::string_view bytes) {
        written += bytes.size();
        cancel = true;
        return absl::OkStatus();
      },
      &cancel);
  EXPECT_EQ(ReasonOf(status), "cancelled");
  EXPECT_LE(written, uint64_t{1} << 20);
}

}  // namespace
}  // namespace shoal::delta
