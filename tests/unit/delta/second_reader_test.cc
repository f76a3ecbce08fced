// delta_reader.py, written from docs/delta-format.md alone, makes the same of
// our patches: the page says enough, and says what is.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "common/subprocess.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

class SecondReader : public ::testing::Test {
 protected:
  // The reader's exit code: 0 made, 1 refused, 3 not read by it.
  int Read(const std::string& old_image, const std::string& patch) {
    WriteFile(dir_.File("old"), old_image);
    WriteFile(dir_.File("patch"), patch);
    SubprocessOptions options;
    options.arguments = {
        "/usr/bin/python3",
        testing::SourcePath("tests/unit/delta/delta_reader.py"),
        dir_.File("old"), dir_.File("patch"), dir_.File("new")};
    auto result = RunCommand(options, absl::Minutes(1));
    if (!result.ok() || !result->status.exited) return -1;
    return result->status.code;
  }
  testing::TempDir dir_;
};

TEST_F(SecondReader, MakesTheSameImage) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const std::string old_image = CodeLike(random, 60000);
    const std::string new_image = Mutate(random, old_image);
    ASSERT_OK_AND_ASSIGN(const std::string patch,
                         Make(old_image, new_image, SmallOptions()));
    ASSERT_EQ(Read(old_image, patch), 0);
    EXPECT_TRUE(ReadFile(dir_.File("new")) == new_image);
  }
}

TEST_F(SecondReader, RefusesWhatIsDamagedAndSaysWhatItDoesNotRead) {
  std::mt19937_64 random(9);
  const std::string old_image = CodeLike(random, 20000);
  const std::string new_image = Mutate(random, old_image) + "x";
  ASSERT_OK_AND_ASSIGN(std::string patch,
                       Make(old_image, new_image, SmallOptions()));
  EXPECT_EQ(Read(old_image + "more", patch), 0);
  EXPECT_EQ(Read(new_image, patch), 1);
  EXPECT_EQ(Read(old_image, patch.substr(0, patch.size() - 1)), 1);
  patch[patch.size() - 1] ^= 1;
  EXPECT_EQ(Read(old_image, patch), 1);
  MakeOptions model = SmallOptions();
  model.coding = Coding::kModel;
  ASSERT_OK_AND_ASSIGN(patch, Make(old_image, new_image, model));
  EXPECT_EQ(Read(old_image, patch), 3);
}

}  // namespace
}  // namespace shoal::delta
