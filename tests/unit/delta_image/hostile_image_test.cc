// Images that nobody's tool makes: whatever stands in them, analysing ends
// without a crash and gives a map that rebuilds them.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>

#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/delta_image/image_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::IsOk;

std::string Fixture(const std::string& name) {
  std::ifstream file(
      testing::SourcePath("tests/unit/delta_image/fixtures/" + name),
      std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

AnalyzeOptions OneThread() {
  AnalyzeOptions options;
  options.threads = 1;
  return options;
}

// As an old image: blocks only have to expand, which believes the most.
void ExpectReadable(const std::string& image) {
  AnalyzeOptions options = OneThread();
  options.verify_exact = false;
  auto map = Analyze(ReadsFrom(image), image.size(), options);
  ASSERT_OK(map);
  EXPECT_LE(map->ExpandedSize(),
            std::max<uint64_t>(image.size(), 1) * 64 * 64 * 64);
  Expanded(*map, image);
}

TEST(HostileImage, T31_EveryByteOfASquashfsSuperBlock) {
  const std::string image = Fixture("gzip.squashfs");
  for (size_t at = 0; at < 96; ++at) {
    for (const int value : {0, 1, 0x7f, 0x80, 0xff}) {
      std::string other = image;
      other[at] = static_cast<char>(value);
      ExpectReadable(other);
    }
  }
}

TEST(HostileImage, T31_DamagedAnywhere) {
  for (const std::string name : {"gzip", "xz", "zstd", "lz4"}) {
    const std::string image = Fixture(name + ".squashfs");
    std::mt19937_64 random(1);
    for (int i = 0; i < 150; ++i) {
      SCOPED_TRACE(name + " " + std::to_string(i));
      std::string other = image;
      for (int edits = 1 + i % 4; edits > 0; --edits) {
        // Half of them in the tables at the end.
        const size_t at =
            random() % 2 ? random() % other.size()
                         : other.size() - 1 - random() % (other.size() / 3);
        other[at] = static_cast<char>(random());
      }
      if (i % 10 == 0) other.resize(random() % other.size());
      ExpectReadable(other);
    }
  }
}

TEST(HostileImage, T31_DamagedNewImagesAreRebuilt) {
  const std::string image = Fixture("gzip.squashfs");
  std::mt19937_64 random(2);
  for (int i = 0; i < 40; ++i) {
    std::string other = image;
    for (int edits = 0; edits < 3; ++edits)
      other[random() % other.size()] = static_cast<char>(random());
    const RoundTrip trip = ThereAndBack(image, other, OneThread());
    EXPECT_TRUE(trip.rebuilt == other);
  }
}

TEST(HostileImage, T31_MagicNumbersBeforeJunk) {
  std::mt19937_64 random(3);
  const std::string magics[] = {
      "hsqs",
      std::string("\x1f\x8b\x08\x1f", 4),
      std::string("\x1f\x8b\x08\x04\0\0\0\0\0\0\xff\xff", 12),
      std::string("\xfd\x37zXZ\0", 6),
      "\x28\xb5\x2f\xfd",
      "\x02\x21\x4c\x18"};
  std::string image;
  for (int i = 0; i < 2000; ++i)
    image += magics[random() % 6] + Noise(random, random() % 40);
  const RoundTrip trip = ThereAndBack(image, image, OneThread());
  EXPECT_TRUE(trip.rebuilt == image);
  // The magic number at the image's end, cut off at every byte.
  for (const std::string& magic : magics)
    for (size_t n = 0; n <= magic.size(); ++n)
      ExpectReadable("junk" + magic.substr(0, n));
}

}  // namespace
}  // namespace shoal::delta
