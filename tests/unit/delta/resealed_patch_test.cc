// Real patches with damage behind checksums that are right: everything after
// the checksums has to hold by itself.
#include "tests/unit/delta/resealed_patch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>

#include "delta/image/image_map.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

struct Subject {
  Coding coding;
  bool compressed;  // the images hold compressed blocks
};

struct Pair {
  std::string old_image, new_image;
  OpenPatch patch;
};

Pair MakePair(const Subject& subject) {
  std::mt19937_64 random(5);
  Pair pair;
  const std::string content = CodeLike(random, 12000);
  std::string changed = content;
  for (size_t i = 100; i < changed.size(); i += 500) changed[i] ^= 3;
  changed.insert(5000, RandomBytes(random, 300));
  const std::string same = Gzip(CodeLike(random, 3000));
  const auto wrap = [&](const std::string& bytes) {
    return subject.compressed ? Gzip(bytes) + same : bytes;
  };
  pair.old_image = "boot 1" + wrap(content);
  pair.new_image = "boot version 2" + wrap(changed);
  MakeOptions options = SmallOptions();
  options.coding = subject.coding;
  options.max_reader_memory = kDefaultMaxMemory;
  auto patch = Make(pair.old_image, pair.new_image, options);
  EXPECT_THAT(patch, IsOk());
  pair.patch = TakeApart(*patch);
  EXPECT_EQ(pair.patch.header.coding, subject.coding);
  EXPECT_EQ(pair.patch.maps.empty(), !subject.compressed);
  return pair;
}

bool IsKnown(std::string_view reason) {
  constexpr std::array<std::string_view, 9> kReasons = {
      "wrong_result",    "delta_corrupt", "delta_truncated",
      "delta_too_large", "delta_memory",  "unsupported_delta",
      "image_map",       "image_memory",  "image_block"};
  return reason == "codec_differs" ||
         std::find(kReasons.begin(), kReasons.end(), reason) != kReasons.end();
}

// An error of a known reason or the right image, and never too many bytes;
// Apply() itself fails when the base is read outside.
void ExpectHarmless(const Pair& pair, const OpenPatch& damaged) {
  const Applied applied = Apply(pair.old_image, Seal(damaged));
  ASSERT_LE(applied.written.size(), pair.new_image.size());
  if (applied.status.ok()) {
    ASSERT_TRUE(applied.written == pair.new_image);
  } else {
    ASSERT_TRUE(IsKnown(ReasonOf(applied.status))) << applied.status;
  }
}

void Damage(std::mt19937_64& random, std::string& bytes) {
  if (bytes.empty()) return;
  const size_t at = random() % bytes.size();
  switch (random() % 4) {
    case 0:
      bytes.erase(at, 1 + random() % 8);
      break;
    case 1:
      bytes.insert(at, RandomBytes(random, 1 + random() % 8));
      break;
    default:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 + random() % 255));
  }
}

class Resealed : public ::testing::TestWithParam<Subject> {};

TEST_P(Resealed, TakenApartAndSealedIsTheSamePatch) {
  const Pair pair = MakePair(GetParam());
  const Applied applied = Apply(pair.old_image, Seal(pair.patch));
  ASSERT_THAT(applied.status, IsOk());
  EXPECT_TRUE(applied.written == pair.new_image);
}

TEST_P(Resealed, T31_DamagedWindowsAreHarmless) {
  const Pair pair = MakePair(GetParam());
  std::mt19937_64 random(6);
  for (int i = 0; i < 200; ++i) {
    SCOPED_TRACE(i);
    OpenPatch damaged = pair.patch;
    auto& window = damaged.windows[random() % damaged.windows.size()];
    Damage(random, i % 4 == 0 ? window.header : window.stored);
    ASSERT_NO_FATAL_FAILURE(ExpectHarmless(pair, damaged));
  }
}

TEST_P(Resealed, T31_DamagedMapsAreHarmless) {
  const Pair pair = MakePair(GetParam());
  std::mt19937_64 random(7);
  for (int i = 0; i < 200 && !pair.patch.maps.empty(); ++i) {
    SCOPED_TRACE(i);
    OpenPatch damaged = pair.patch;
    Damage(random, damaged.maps);
    ASSERT_NO_FATAL_FAILURE(ExpectHarmless(pair, damaged));
  }
}

TEST_P(Resealed, T31_WindowsLeftOutRepeatedOrExchangedAreHarmless) {
  const Pair pair = MakePair(GetParam());
  const size_t n = pair.patch.windows.size();
  for (size_t i = 0; i < n; ++i) {
    OpenPatch without = pair.patch, twice = pair.patch, other = pair.patch;
    without.windows.erase(without.windows.begin() + i);
    ASSERT_NO_FATAL_FAILURE(ExpectHarmless(pair, without));
    twice.windows.insert(twice.windows.begin() + i, twice.windows[i]);
    ASSERT_NO_FATAL_FAILURE(ExpectHarmless(pair, twice));
    std::swap(other.windows[i], other.windows[(i + 1) % n]);
    ASSERT_NO_FATAL_FAILURE(ExpectHarmless(pair, other));
  }
}

INSTANTIATE_TEST_SUITE_P(Subjects, Resealed,
                         ::testing::Values(Subject{Coding::kZstd, false},
                                           Subject{Coding::kModel, false},
                                           Subject{Coding::kZstd, true},
                                           Subject{Coding::kModel, true}));

// The check of the codecs compresses a sample with each setting, also with one
// that no block uses: its memory counts before it is taken.
TEST(ResealedMaps, T31_ASettingThatNoBlockUsesCountsInMemory) {
  const Pair pair = MakePair({Coding::kZstd, true});
  std::string_view maps = pair.patch.maps;
  ASSERT_OK_AND_ASSIGN(const ImageMap old_map, ParseImageMap(maps, 1u << 20));
  ASSERT_OK_AND_ASSIGN(ImageMap new_map,
                       ParseImageMap(maps, 1u << 20, OuterSizes(old_map)));
  new_map.settings.push_back({.codec = ImageCodec::kXz,
                              .level = 9,
                              .check = 1,
                              .dictionary = kMaxXzDictionary});
  OpenPatch patch = pair.patch;
  ASSERT_OK_AND_ASSIGN(const std::string codecs, DescribeCodecs(new_map));
  patch.maps = SerializeImageMap(old_map) + SerializeImageMap(new_map) + codecs;
  patch.header.reader_memory += 100000;  // for the longer maps
  Applied applied = Apply(pair.old_image, Seal(patch));
  EXPECT_THAT(applied.status, FailsBecause("delta_corrupt"));
  EXPECT_EQ(applied.written, "");
  // With that memory stated, and granted, it is a right patch.
  patch.header.reader_memory +=
      static_cast<uint32_t>(CheckCodecsMemory(new_map));
  EXPECT_THAT(Apply(pair.old_image, Seal(patch)).status,
              FailsBecause("delta_memory"));
  ApplySetup setup;
  setup.max_memory = patch.header.reader_memory;
  EXPECT_OK(Apply(pair.old_image, Seal(patch), setup).status);
}

}  // namespace
}  // namespace shoal::delta
