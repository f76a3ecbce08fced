// delta_reader.py, written from the pages alone, makes the same of our patches:
// the pages say enough, and say what is.
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>

#include "common/subprocess.h"
#include "delta/image/image_map.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/delta/delta_test_support.h"
#include "tests/unit/delta/moving_program.h"
#include "tests/unit/delta/resealed_patch.h"
#include "tests/unit/delta_image/image_test_support.h"

namespace shoal::delta {
namespace {

class SecondReader : public ::testing::Test {
 protected:
  // The reader's exit code: 0 made, 1 refused.
  int Read(const std::string& old_image, const std::string& patch) {
    WriteFile(dir_.File("old"), old_image);
    WriteFile(dir_.File("patch"), patch);
    SubprocessOptions options;
    options.arguments = {
        "/usr/bin/python3",
        "-B",
        testing::SourcePath("tests/unit/delta/delta_reader.py"),
        dir_.File("old"),
        dir_.File("patch"),
        dir_.File("new")};
    auto result = RunCommand(options, absl::Minutes(2));
    if (!result.ok() || !result->status.exited) return -1;
    output_ = result->output;
    return result->status.code;
  }
  void ExpectRead(const std::string& old_image, const std::string& new_image,
                  const MakeOptions& options) {
    ASSERT_OK_AND_ASSIGN(patch_, Make(old_image, new_image, options));
    ASSERT_EQ(Read(old_image, patch_), 0) << output_;
    EXPECT_TRUE(ReadFile(dir_.File("new")) == new_image);
  }
  testing::TempDir dir_;
  std::string patch_, output_;
};

MakeOptions WithModel() {
  MakeOptions options = SmallOptions();
  options.coding = Coding::kModel;
  return options;
}

TEST_F(SecondReader, MakesTheSameImage) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const std::string old_image = CodeLike(random, 60000);
    const std::string new_image = Mutate(random, old_image);
    ExpectRead(old_image, new_image, SmallOptions());
  }
}

TEST_F(SecondReader, ReadsWindowsOfTheModelAtEveryLevel) {
  for (const uint64_t mib : {2, 4, 6, 14}) {
    SCOPED_TRACE(mib);
    std::mt19937_64 random(mib);
    const std::string old_image = CodeLike(random, 20000);
    const std::string new_image = Mutate(random, old_image);
    MakeOptions options = WithModel();
    options.max_reader_memory = mib << 20;
    ExpectRead(old_image, new_image, options);
    EXPECT_EQ(TakeApart(patch_).header.coding, Coding::kModel);
  }
}

// Each kind of unit that the model knows, with targets that moved.
TEST_F(SecondReader, ReadsCodeThatMoved) {
  for (const Machine machine : {Machine::kArm64, Machine::kX86, Machine::kThumb,
                                Machine::kPointers, Machine::kOffsets}) {
    SCOPED_TRACE(static_cast<int>(machine));
    const auto [old_image, new_image] = MovingProgram(machine, 40000);
    ExpectRead(old_image, new_image, WithModel());
  }
}

// Blocks of each codec, expanded and made again from the page's words.
TEST_F(SecondReader, ReadsImagesOfCompressedBlocks) {
  std::mt19937_64 random(4);
  const std::string content = WordsAndNoise(random, 200000);
  std::string edited = content;
  for (size_t i = 1000; i < edited.size(); i += 20000) edited[i] ^= 3;
  edited.insert(90000, "a piece that is new");
  const auto zstd = [](int level, bool check) {
    return CodecSetting{.codec = ImageCodec::kZstd,
                        .level = static_cast<uint8_t>(level),
                        .check = static_cast<uint8_t>(check ? 1 : 0)};
  };
  CodecSetting stream_xz = OneCallXz(1 << 18);
  stream_xz.wrapper = 1;
  const std::vector<std::function<std::string(const std::string&)>> writers = {
      [](const std::string& raw) { return GzipMember(raw, 9); },
      [](const std::string& raw) { return GzipMember(raw, 6, 9); },
      [](const std::string& raw) { return Compress(OneCallXz(1 << 18), raw); },
      [&](const std::string& raw) { return Compress(stream_xz, raw); },
      [&](const std::string& raw) { return Compress(zstd(19, false), raw); },
      [&](const std::string& raw) { return Compress(zstd(3, true), raw); },
      [](const std::string& raw) { return Lz4Legacy(raw, 9); },
      [](const std::string& raw) { return Lz4Legacy(raw, 12); },
      // One in another.
      [&](const std::string& raw) {
        return GzipMember("inner" + Compress(zstd(5, false), raw), 6);
      },
  };
  for (size_t i = 0; i < writers.size(); ++i) {
    SCOPED_TRACE(i);
    const std::string same = GzipMember(content.substr(0, 3000), 9);
    MakeOptions options = i % 2 == 0 ? SmallOptions() : WithModel();
    options.max_reader_memory = 24 << 20;
    ExpectRead("boot 1" + writers[i](content) + same,
               "boot version 2" + writers[i](edited) + same, options);
    EXPECT_FALSE(TakeApart(patch_).maps.empty());
    EXPECT_LT(patch_.size(), 4000u);
  }
}

TEST_F(SecondReader, ReadsSquashfs) {
  const std::string fixtures =
      testing::SourcePath("tests/unit/delta_image/fixtures/");
  const std::string old_image = ReadFile(fixtures + "gzip.squashfs");
  ASSERT_FALSE(old_image.empty());
  // Its blocks are made again of what the old one's hold, by another codec.
  for (const char* kind : {"xz", "zstd", "lz4"}) {
    SCOPED_TRACE(kind);
    MakeOptions options = SmallOptions();
    options.max_reader_memory = 24 << 20;
    ExpectRead(old_image, ReadFile(fixtures + kind + ".squashfs"), options);
    EXPECT_FALSE(TakeApart(patch_).maps.empty());
  }
}

TEST_F(SecondReader, RefusesWhatIsDamagedOrOfOtherLibraries) {
  std::mt19937_64 random(9);
  const std::string old_image = CodeLike(random, 20000);
  const std::string new_image = Mutate(random, old_image) + "x";
  for (const MakeOptions& options : {SmallOptions(), WithModel()}) {
    ASSERT_OK_AND_ASSIGN(std::string patch,
                         Make(old_image, new_image, options));
    EXPECT_EQ(Read(old_image + "more", patch), 0);
    EXPECT_EQ(Read(new_image, patch), 1);
    EXPECT_EQ(Read(old_image, patch.substr(0, patch.size() - 1)), 1);
    patch[patch.size() - 1] ^= 1;
    EXPECT_EQ(Read(old_image, patch), 1);
  }
  const std::string content = CodeLike(random, 8000);
  const std::string old_gzip = Gzip(content);
  ASSERT_OK_AND_ASSIGN(const std::string patch,
                       Make(old_gzip, Gzip(content + "more"), SmallOptions()));
  EXPECT_EQ(Read(old_gzip, patch), 0) << output_;
  OpenPatch open = TakeApart(patch);
  open.maps[open.maps.find("zlib ") + 5] = '9';
  EXPECT_EQ(Read(old_gzip, Seal(open)), 1);
  EXPECT_NE(output_.find("made with zlib 9"), std::string::npos) << output_;
  open = TakeApart(patch);
  open.maps.back() ^= 1;  // of a fingerprint
  EXPECT_EQ(Read(old_gzip, Seal(open)), 1);
}

}  // namespace
}  // namespace shoal::delta
