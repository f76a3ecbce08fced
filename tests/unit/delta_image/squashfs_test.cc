// Real squashfs images: small ones that are checked in, and larger ones that
// mksquashfs makes here when it is installed.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "common/subprocess.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/delta_image/image_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::IsOk;
using ::shoal::testing::TempDir;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}
void WriteFile(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  EXPECT_TRUE(file.good()) << path;
}

std::string FixturePath(const std::string& name) {
  return testing::SourcePath("tests/unit/delta_image/fixtures/" + name);
}

std::string MkSquashfs() {
  for (const char* path : {"/usr/bin/mksquashfs", "/usr/sbin/mksquashfs"})
    if (access(path, X_OK) == 0) return path;
  return "";
}

// A tree with everything that has an inode of its own: files with and without
// fragments, a hole, duplicates, links, a long directory.
void MakeTree(const std::string& root, std::mt19937_64& random, bool changed) {
  namespace fs = std::filesystem;
  fs::create_directories(root + "/dir/sub");
  const std::string shared = WordsAndNoise(random, 700000);
  WriteFile(root + "/large", shared);
  WriteFile(root + "/dir/same", shared);
  std::string code = WordsAndNoise(random, 400000);
  if (changed) code.replace(200000, 10, "changed it");
  WriteFile(root + "/dir/code", code);
  WriteFile(root + "/incompressible", Noise(random, 300000));
  WriteFile(root + "/hole", "start");
  fs::resize_file(root + "/hole", 600000);
  WriteFile(root + "/empty", "");
  for (int i = 0; i < 300; ++i)
    WriteFile(root + "/dir/sub/file-with-a-long-name-" + std::to_string(i),
              WordsAndNoise(random, 200 + random() % 3000));
  if (changed) WriteFile(root + "/dir/added", WordsAndNoise(random, 150000));
  fs::create_symlink("large", root + "/link");
  fs::create_hard_link(root + "/large", root + "/hard");
  EXPECT_EQ(mkfifo((root + "/fifo").c_str(), 0644), 0);
}

class Squashfs : public ::testing::TestWithParam<std::vector<std::string>> {};

TEST_P(Squashfs, MadeHereIsReproducedAlmostWhole) {
  const std::string program = MkSquashfs();
  if (program.empty()) GTEST_SKIP() << "no mksquashfs";
  const TempDir temp;
  std::string images[2];
  for (const bool changed : {false, true}) {
    std::mt19937_64 random(1);  // the same content but for the changes
    const std::string tree = temp.File(changed ? "new" : "old");
    MakeTree(tree, random, changed);
    SubprocessOptions options;
    options.arguments = {program,     tree,           tree + ".img",
                         "-noappend", "-no-progress", "-quiet",
                         "-all-root", "-mkfs-time",   "1"};
    options.arguments.insert(options.arguments.end(), GetParam().begin(),
                             GetParam().end());
    ASSERT_OK_AND_ASSIGN(const auto result,
                         RunCommand(options, absl::Minutes(1)));
    ASSERT_TRUE(result.status.ok()) << result.output;
    images[changed] = ReadFile(tree + ".img");
  }
  const RoundTrip trip = ThereAndBack(images[0], images[1]);
  EXPECT_TRUE(trip.rebuilt == images[1]);
  EXPECT_GT(CountVerbatim(trip.maps.new_map), 0u);
  // Of the old image nothing compressed is missed but what would be found raw
  // in it, too: the incompressible file, headers, small tables, padding.
  uint64_t raw = 0;
  for (const Segment& segment : trip.maps.old_map.layers.at(0).segments)
    if (segment.kind == Segment::Kind::kRaw) raw += segment.stored;
  EXPECT_LT(raw, 300000 + 30000);
  for (const Segment& segment : trip.maps.new_map.layers.at(0).segments)
    if (segment.kind == Segment::Kind::kRaw)
      raw -= std::min(raw, segment.stored);
  EXPECT_LT(raw, 20000u);  // equally little is raw in the new image
}

INSTANTIATE_TEST_SUITE_P(
    Compressors, Squashfs,
    ::testing::Values(
        std::vector<std::string>{"-comp", "gzip"},
        std::vector<std::string>{"-comp", "gzip", "-Xcompression-level", "4",
                                 "-Xwindow-size", "12", "-Xstrategy",
                                 "default,filtered"},
        std::vector<std::string>{"-comp", "xz", "-b", "64K"},
        std::vector<std::string>{"-comp", "xz", "-Xbcj", "x86,arm",
                                 "-Xdict-size", "32K"},
        std::vector<std::string>{"-comp", "zstd"},
        std::vector<std::string>{"-comp", "zstd", "-Xcompression-level", "19",
                                 "-b", "1M"},
        std::vector<std::string>{"-comp", "lz4"},
        std::vector<std::string>{"-comp", "lz4", "-Xhc", "-no-exports"},
        std::vector<std::string>{"-comp", "gzip", "-no-fragments"},
        std::vector<std::string>{"-comp", "zstd", "-noI"}));

TEST(SquashfsFixture, EveryCompressorsBlocksAreFound) {
  for (const std::string name : {"gzip", "xz", "zstd", "lz4"}) {
    SCOPED_TRACE(name);
    const std::string image = ReadFile(FixturePath(name + ".squashfs"));
    AnalyzeOptions options;
    options.verify_exact = false;  // another library version may be here
    ASSERT_OK_AND_ASSIGN(const ImageMap map,
                         Analyze(ReadsFrom(image), image.size(), options));
    EXPECT_GE(CountBlocks(map), 8u);
    EXPECT_TRUE(Expanded(map, image).find("the quick brown fox 199") !=
                std::string::npos);
  }
}

TEST(SquashfsFixture, SomewhereInsideADiskImage) {
  std::mt19937_64 random(2);
  const std::string image = Noise(random, 12345) +
                            ReadFile(FixturePath("gzip.squashfs")) +
                            Noise(random, 777) + "hsqs" + Noise(random, 500);
  std::string changed = image;
  changed.replace(100, 5, "other");
  const RoundTrip trip = ThereAndBack(image, changed);
  EXPECT_TRUE(trip.rebuilt == changed);
  EXPECT_GE(CountBlocks(trip.maps.old_map), 8u);
}

}  // namespace
}  // namespace shoal::delta
