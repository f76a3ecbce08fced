// Images that hold compressed blocks: the patch is made between what is in
// them, and what is applied is the image to the byte.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "common/crypto/hash.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

// A boot area, two compressed parts, something behind.
struct Pair {
  std::string old_image, new_image;
};
Pair MakePair() {
  std::mt19937_64 random(21);
  const std::string a = CodeLike(random, 300000), b = CodeLike(random, 200000);
  std::string a2 = a;
  for (size_t i = 50; i < a2.size(); i += 5000) a2[i] ^= 1;
  const std::string boot = RandomBytes(random, 5000);
  const std::string tail = RandomBytes(random, 3000);
  return {boot + Gzip(a) + Gzip(b) + tail,
          boot + "v2" + Gzip(a2) + Gzip(b) + tail};
}

MakeOptions Options(Coding coding) {
  MakeOptions options = SmallOptions();
  options.coding = coding;
  options.window_size = 64 << 10;
  options.max_reader_memory = kDefaultMaxMemory;
  return options;
}

class Images : public ::testing::TestWithParam<Coding> {};

TEST_P(Images, AreExpandedAndComeOutTheSame) {
  const Pair pair = MakePair();
  MakeOptions options = Options(GetParam());
  ASSERT_OK_AND_ASSIGN(const std::string patch,
                       Make(pair.old_image, pair.new_image, options));
  ASSERT_OK_AND_ASSIGN(const Header header, ParseHeader(patch));
  EXPECT_GT(header.maps_size, 0u);
  EXPECT_LE(header.reader_memory, kDefaultMaxMemory);
  options.expand = false;
  ASSERT_OK_AND_ASSIGN(const std::string plain,
                       Make(pair.old_image, pair.new_image, options));
  EXPECT_LT(patch.size() * 4, plain.size());
  const Applied applied = Apply(pair.old_image, patch);
  ASSERT_THAT(applied.status, IsOk());
  ASSERT_TRUE(applied.written == pair.new_image);
  for (const auto& [written, state] : applied.checkpoints) {
    SCOPED_TRACE(written);
    ApplySetup setup;
    setup.resume_state = state;
    setup.already_written = pair.new_image.substr(0, written);
    const Applied rest = Apply(pair.old_image, patch, setup);
    ASSERT_THAT(rest.status, IsOk());
    ASSERT_TRUE(rest.written == pair.new_image.substr(written));
  }
}

INSTANTIATE_TEST_SUITE_P(Codings, Images,
                         ::testing::Values(Coding::kZstd, Coding::kModel));

TEST(ImagesHostile, T31_DamagedMapsAreRefusedBeforeTheFirstByte) {
  const Pair pair = MakePair();
  ASSERT_OK_AND_ASSIGN(
      const std::string patch,
      Make(pair.old_image, pair.new_image, Options(Coding::kZstd)));
  const size_t end =
      kHeaderSize + kChecksumSize + ParseHeader(patch)->maps_stored;
  for (size_t at = kHeaderSize; at < end; ++at) {
    std::string damaged = patch;
    damaged[at] ^= 4;
    const Applied applied = Apply(pair.old_image, damaged);
    ASSERT_THAT(applied.status, FailsBecause("delta_corrupt")) << at;
    ASSERT_EQ(applied.written, "");
  }
}

}  // namespace
}  // namespace shoal::delta
