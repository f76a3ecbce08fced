// Make, then apply, gives the new image: for all kinds of pairs.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>

#include "common/crypto/hash.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

void ExpectRoundTrip(std::string_view old_image, std::string_view new_image,
                     const MakeOptions& options, size_t read_step = 100000) {
  MakeStats stats;
  ASSERT_OK_AND_ASSIGN(const std::string patch,
                       Make(old_image, new_image, options, &stats));
  EXPECT_EQ(stats.patch_size, patch.size());
  EXPECT_EQ(stats.patch_sha256, crypto::Sha256Digest(patch));
  EXPECT_EQ(stats.new_sha256, crypto::Sha256Digest(new_image));
  ApplySetup setup;
  setup.patch_read_step = read_step;
  const Applied applied = Apply(old_image, patch, setup);
  ASSERT_THAT(applied.status, IsOk());
  ASSERT_TRUE(applied.written == new_image);
  EXPECT_EQ(applied.checkpoints.size(), stats.windows);
}

class RandomPairs : public ::testing::TestWithParam<int> {};

TEST_P(RandomPairs, MakeThenApplyIsIdentity) {
  for (int i = 0; i < 25; ++i) {
    const uint64_t seed =
        static_cast<uint64_t>(GetParam()) * 1000 + static_cast<uint64_t>(i);
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const size_t size = random() % (i % 5 == 0 ? 300000 : 20000);
    const std::string old_image =
        random() % 4 ? CodeLike(random, size) : RandomBytes(random, size);
    const std::string new_image = Mutate(random, old_image);
    MakeOptions options = SmallOptions();
    options.threads = 1 + static_cast<int>(random() % 3);
    if (random() % 2) options.window_size = kDefaultWindowSize;
    ExpectRoundTrip(old_image, new_image, options, 1 + random() % 5000);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomPairs, ::testing::Range(0, 12));

TEST(MakeApply, SpecialPairs) {
  std::mt19937_64 random(1);
  const std::string image = CodeLike(random, 200000);
  const std::string zeros(300000, '\0');
  std::string cyclic;
  while (cyclic.size() < 300000) cyclic += "abcabcab";
  for (const std::string& a : {std::string(), std::string("x"), image, zeros,
                               cyclic, std::string("\xff\xff\xff")})
    for (const std::string& b : {std::string(), std::string("y"), image, zeros,
                                 cyclic, image.substr(7777) + image})
      ExpectRoundTrip(a, b, SmallOptions());
}

TEST(MakeApply, AOneByteChangeOfALargeImageCostsLittle) {
  std::mt19937_64 random(2);
  const std::string old_image = CodeLike(random, 92 << 20);
  std::string new_image = old_image;
  new_image[50 << 20] ^= 1;
  MakeStats stats;
  ASSERT_OK_AND_ASSIGN(const std::string patch,
                       Make(old_image, new_image, MakeOptions(), &stats));
  EXPECT_LE(patch.size(), 150u);
  const Applied applied = Apply(old_image, patch);
  ASSERT_THAT(applied.status, IsOk());
  EXPECT_TRUE(applied.written == new_image);
}

TEST(MakeApply, TheSameInputGivesTheSamePatch) {
  std::mt19937_64 random(5);
  const std::string old_image = CodeLike(random, 500000);
  const std::string new_image = Mutate(random, old_image);
  MakeOptions one = SmallOptions(), three = SmallOptions();
  one.threads = 1;
  three.threads = 3;
  ASSERT_OK_AND_ASSIGN(const std::string a, Make(old_image, new_image, one));
  ASSERT_OK_AND_ASSIGN(const std::string b, Make(old_image, new_image, three));
  EXPECT_TRUE(a == b);
}

TEST(MakeApply, CancellingLeavesNoFile) {
  testing::TempDir dir;
  std::mt19937_64 random(6);
  WriteFile(dir.File("old"), CodeLike(random, 1 << 20));
  WriteFile(dir.File("new"), CodeLike(random, 1 << 20));
  std::atomic<bool> cancel{true};
  MakeOptions options = SmallOptions();
  options.cancel = &cancel;
  EXPECT_THAT(
      MakeDelta(options, dir.File("old"), dir.File("new"), dir.File("patch")),
      FailsBecause("cancelled"));
  cancel = false;
  // In the middle: at the first progress.
  options.progress = [&](uint64_t, uint64_t) { cancel = true; };
  EXPECT_THAT(
      MakeDelta(options, dir.File("old"), dir.File("new"), dir.File("patch")),
      FailsBecause("cancelled"));
  EXPECT_EQ(ReadFile(dir.File("patch")), "");
}

TEST(MakeApply, ProgressGrowsToTheEnd) {
  testing::TempDir dir;
  std::mt19937_64 random(7);
  WriteFile(dir.File("old"), CodeLike(random, 400000));
  WriteFile(dir.File("new"), CodeLike(random, 400000));
  uint64_t last = 0;
  MakeOptions options = SmallOptions();
  options.verify = true;
  options.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_GT(done, last);
    EXPECT_EQ(total, 400000u);
    last = done;
  };
  ASSERT_OK(
      MakeDelta(options, dir.File("old"), dir.File("new"), dir.File("patch")));
  EXPECT_EQ(last, 400000u);
}

// Content that the model makes little of is made a second time, by zstd.
TEST(MakeApply, ProgressNeverGoesBack) {
  testing::TempDir dir;
  std::mt19937_64 random(7);
  const std::string content = CodeLike(random, 200000);
  WriteFile(dir.File("old"), Gzip(content) + RandomBytes(random, 300000));
  WriteFile(dir.File("new"), Gzip(content + "x") + RandomBytes(random, 300000));
  const uint64_t size = ReadFile(dir.File("new")).size();
  uint64_t last = 0;
  size_t reports = 0;
  MakeOptions options;
  options.segment_size = 64 << 10;
  options.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_GT(done, last);
    EXPECT_EQ(total, size);
    EXPECT_LE(done, total);
    last = done;
    ++reports;
  };
  ASSERT_OK_AND_ASSIGN(
      const MakeStats made,
      MakeDelta(options, dir.File("old"), dir.File("new"), dir.File("patch")));
  ASSERT_GT(made.patch_size, size / 4) << "no reason for a second one";
  EXPECT_EQ(last, size);
  EXPECT_GT(reports, 8u);
}

TEST(MakeApply, MissingImageAndBadOptionsAreErrors) {
  testing::TempDir dir;
  WriteFile(dir.File("new"), "x");
  EXPECT_THAT(MakeDelta({}, dir.File("old"), dir.File("new"), dir.File("p")),
              FailsBecause("io_not_found"));
  MakeOptions options;
  options.window_size = 1;
  EXPECT_THAT(
      MakeDelta(options, dir.File("new"), dir.File("new"), dir.File("p")),
      FailsBecause("bad_argument"));
}

TEST(MakeApply, ResumesAtEveryWindow) {
  std::mt19937_64 random(8);
  const std::string old_image = CodeLike(random, 150000);
  const std::string new_image =
      Mutate(random, old_image) + RandomBytes(random, 30000);
  ASSERT_OK_AND_ASSIGN(const std::string patch,
                       Make(old_image, new_image, SmallOptions()));
  const Applied whole = Apply(old_image, patch);
  ASSERT_THAT(whole.status, IsOk());
  ASSERT_GT(whole.checkpoints.size(), 5u);
  for (const auto& [written, state] : whole.checkpoints) {
    EXPECT_LT(state.size(), 100u);
    ApplySetup setup;
    setup.resume_state = state;
    // After a power failure the slot may hold more, and other, bytes.
    setup.already_written = new_image.substr(0, written) + "garbage";
    const Applied rest = Apply(old_image, patch, setup);
    ASSERT_THAT(rest.status, IsOk());
    EXPECT_TRUE(rest.written == new_image.substr(written));
  }
}

TEST(MakeApply, ResumeRefusesWhatIsNotThere) {
  std::mt19937_64 random(9);
  const std::string old_image = CodeLike(random, 100000);
  const std::string new_image = RandomBytes(random, 50000);
  ASSERT_OK_AND_ASSIGN(const std::string patch,
                       Make(old_image, new_image, SmallOptions()));
  ASSERT_OK_AND_ASSIGN(const std::string other,
                       Make(old_image, new_image + "x", SmallOptions()));
  const Applied whole = Apply(old_image, patch);
  ASSERT_GT(whole.checkpoints.size(), 3u);
  const auto& [written, state] = whole.checkpoints[2];
  ApplySetup setup;
  setup.resume_state = state;
  setup.already_written = new_image.substr(0, written);
  setup.already_written[100] ^= 1;
  EXPECT_THAT(Apply(old_image, patch, setup).status,
              FailsBecause("bad_resume"));
  setup.already_written = new_image.substr(0, written);
  EXPECT_THAT(Apply(old_image, other, setup).status,
              FailsBecause("bad_resume"));
  for (size_t i = 0; i < state.size(); ++i) {
    setup.resume_state = state;
    setup.resume_state[i] ^= 1;
    EXPECT_THAT(Apply(old_image, patch, setup).status,
                FailsBecause("bad_resume"));
  }
  setup.resume_state = state;
  std::string changed = old_image;
  changed[5] ^= 1;
  EXPECT_THAT(Apply(changed, patch, setup).status, FailsBecause("wrong_base"));
}

}  // namespace
}  // namespace shoal::delta
