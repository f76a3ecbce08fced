// Long blocks read in passing, from anywhere.
#include "delta/image/block_stream.h"

#include <gtest/gtest.h>

#include <random>

#include "delta/image/deflate_stream.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/delta_image/image_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

struct LongBlock {
  CodecSetting setting;
  std::string raw, stored;
};

std::vector<LongBlock> LongBlocks() {
  std::mt19937_64 random(1);
  std::vector<LongBlock> blocks;
  for (const size_t size : {3000u, 700000u}) {
    for (const std::string& raw :
         {WordsAndNoise(random, size), Noise(random, size),
          std::string(size, 'x'),
          WordsAndNoise(random, size / 2) + Noise(random, size / 2)}) {
      for (const CodecSetting& setting :
           {Deflate(6), Deflate(1, true),
            CodecSetting{.codec = ImageCodec::kLz4},
            CodecSetting{.codec = ImageCodec::kLz4Hc, .level = 9}})
        blocks.push_back({setting, raw, Compress(setting, raw)});
    }
  }
  return blocks;
}

TEST(BlockStream, ReadsSkipsClonesAndStepsBack) {
  std::mt19937_64 random(2);
  for (const LongBlock& block : LongBlocks()) {
    SCOPED_TRACE(Describe(block.setting));
    const ReadAt read = ReadsFrom(block.stored);
    ASSERT_OK_AND_ASSIGN(
        auto stream, BlockStream::Open(block.setting, read, 0,
                                       block.stored.size(), block.raw.size()));
    std::unique_ptr<BlockStream> kept;
    while (stream->place() < block.raw.size()) {
      const size_t at = stream->place();
      const size_t n =
          std::min<size_t>(random() % 100000, block.raw.size() - at);
      switch (random() % 5) {
        case 0:
          ASSERT_OK(stream->Read(nullptr, n));
          break;
        case 1: {
          ASSERT_OK_AND_ASSIGN(kept, stream->Clone());
          break;
        }
        case 2:
          if (kept) std::swap(kept, stream);
          kept.reset();
          break;
        case 3: {
          const uint64_t back = at - std::min<size_t>(at, random() % 200000);
          const bool stepped = stream->StepBack(back);
          EXPECT_EQ(stream->place(), stepped ? back : at);
          break;
        }
        default: {
          std::string out(n, '\0');
          ASSERT_OK(stream->Read(out.data(), n));
          EXPECT_TRUE(out == block.raw.substr(at, n)) << at;
        }
      }
    }
    EXPECT_OK(stream->CheckEnd());
    char beyond;
    EXPECT_THAT(stream->Read(&beyond, 1), FailsBecause("image_block"));
  }
}

TEST(BlockStream, T31_DamagedBlocksAreErrors) {
  std::mt19937_64 random(3);
  for (const LongBlock& block : LongBlocks()) {
    if (block.raw.size() > 10000) continue;
    SCOPED_TRACE(Describe(block.setting));
    for (int i = 0; i < 300; ++i) {
      std::string stored = block.stored;
      if (i % 3 == 0) stored.resize(random() % stored.size());
      if (i % 3 == 1) stored += "more";
      if (i % 3 == 2)
        stored[random() % stored.size()] ^=
            static_cast<char>(1 << random() % 8);
      const ReadAt read = ReadsFrom(stored);
      auto stream = BlockStream::Open(block.setting, read, 0, stored.size(),
                                      block.raw.size());
      ASSERT_OK(stream);
      std::string out(block.raw.size(), '\0');
      absl::Status status = (*stream)->Read(out.data(), out.size());
      if (status.ok()) status = (*stream)->CheckEnd();
      if (i % 3 != 2) {
        EXPECT_THAT(status, FailsBecause("image_block"));
      } else if (!status.ok()) {
        EXPECT_THAT(status, FailsBecause("image_block"));
      }
    }
  }
}

TEST(DeflateStream, DoesNotDependOnHowTheBytesAreCut) {
  std::mt19937_64 random(4);
  const std::string raw = WordsAndNoise(random, 900000);
  for (const int level : {1, 6, 9}) {
    const std::string at_once = Compress(Deflate(level), raw);
    for (const size_t step : {size_t{1000}, size_t{65536}, raw.size()}) {
      DeflateStream stream;
      std::string out;
      const auto sink = [&](std::string_view bytes) {
        out += bytes;
        return absl::OkStatus();
      };
      ASSERT_OK(stream.Begin(Deflate(level)));
      for (size_t at = 0; at < raw.size(); at += step)
        ASSERT_OK(stream.Write(std::string_view(raw).substr(at, step), sink));
      ASSERT_OK(stream.Finish(sink));
      EXPECT_TRUE(out == at_once) << level << " " << step;
    }
  }
}

}  // namespace
}  // namespace shoal::delta
