// Layouts that change: content that moved must still be found, exact or edited.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

TEST(MovedContent, ExactPartsFarAway) {
  std::mt19937_64 random(3);
  const std::string a = RandomBytes(random, 1 << 20);
  const std::string b = RandomBytes(random, 1 << 20);
  MakeOptions options;
  options.coding = Coding::kZstd;
  options.segment_size = 64 << 10;
  ASSERT_OK_AND_ASSIGN(const std::string patch, Make(a + b, b + a, options));
  EXPECT_LT(patch.size(), 300u);
}

TEST(MovedContent, SmallPiecesShuffled) {
  // Pieces of 2 KiB, shuffled over 4 MiB: no anchor is that short, and no
  // segment sees all of the base.
  std::mt19937_64 random(4);
  const std::string image = RandomBytes(random, 4 << 20);
  std::vector<size_t> order;
  for (size_t i = 0; i < image.size(); i += 2048) order.push_back(i);
  std::string shuffled;
  std::shuffle(order.begin() + 512, order.begin() + 1024, random);
  for (const size_t at : order) shuffled += image.substr(at, 2048);
  MakeOptions options;
  options.coding = Coding::kZstd;
  options.segment_size = 1 << 20;
  ASSERT_OK_AND_ASSIGN(const std::string patch, Make(image, shuffled, options));
  EXPECT_LT(patch.size(), 16u << 10);
}

// A word changes every few hundred bytes: nowhere 16 KiB are equal.
std::string Edited(std::string image, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (size_t at = random() % 700; at + 4 < image.size();
       at += 400 + random() % 700)
    image[at] = static_cast<char>(random());
  return image;
}

// The patch's size, after it was applied; segments of 512 KiB, so that none
// sees much of the base.
size_t PatchSize(const std::string& old_image, const std::string& new_image) {
  MakeOptions options;
  options.coding = Coding::kZstd;
  options.segment_size = 512 << 10;
  options.zstd_level = 3;  // what is measured is the matching
  auto patch = Make(old_image, new_image, options);
  EXPECT_OK(patch.status());
  if (!patch.ok()) return ~size_t{0};
  const Applied applied = Apply(old_image, *patch);
  EXPECT_OK(applied.status);
  EXPECT_TRUE(applied.written == new_image);
  return patch->size();
}

TEST(MovedContent, TwoPartitionsAreSwapped) {
  std::mt19937_64 random(11);
  const std::string a = RandomBytes(random, 3 << 20);
  const std::string b = RandomBytes(random, 2 << 20);
  const size_t in_place = PatchSize(a + b, Edited(a + b, 1));
  EXPECT_LT(PatchSize(a + b, Edited(b + a, 1)), in_place + in_place / 10);
}

TEST(MovedContent, MegabytesAreInserted) {
  std::mt19937_64 random(12);
  const std::string image = RandomBytes(random, 4 << 20);
  const std::string inserted(2 << 20, '\x5a');
  const std::string edited = Edited(image, 2);
  const size_t in_place = PatchSize(image, edited);
  EXPECT_LT(PatchSize(image, edited.substr(0, 1 << 20) + inserted +
                                 edited.substr(1 << 20)),
            in_place + in_place / 10);
}

TEST(MovedContent, FilesAreReordered) {
  std::mt19937_64 random(13);
  std::vector<std::string> files;
  std::string old_image, new_image, edited;
  for (int i = 0; i < 64; ++i)
    files.push_back(RandomBytes(random, 40000 + random() % 160000));
  for (const std::string& file : files) {
    old_image += file;
    edited += Edited(file, 3);
  }
  std::shuffle(files.begin(), files.end(), random);
  for (const std::string& file : files) new_image += Edited(file, 3);
  const size_t in_place = PatchSize(old_image, edited);
  EXPECT_LT(PatchSize(old_image, new_image), in_place + in_place / 8);
}

}  // namespace
}  // namespace shoal::delta
