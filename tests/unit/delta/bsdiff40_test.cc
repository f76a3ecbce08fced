// Classic BSDIFF40 patches: interchangeable with Debian's programs both ways,
// and as hard to fool as our own.
#include "delta/format/bsdiff40.h"

#include <bzlib.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <random>
#include <string>
#include <vector>

#include "agent/patch/patch_runner.h"
#include "common/crypto/hash.h"
#include "common/subprocess.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

class Bsdiff40 : public ::testing::Test {
 protected:
  void SetUp() override {
    std::mt19937_64 random(3);
    old_image_ = CodeLike(random, 300000);
    new_image_ = Mutate(random, old_image_) + RandomBytes(random, 5000);
    options_ = SmallOptions();
    options_.format = Format::kBsdiff40;
  }
  ApplySetup Setup() const {
    ApplySetup setup;
    setup.expected_size = new_image_.size();
    setup.expected_sha256 = crypto::Sha256Digest(new_image_);
    return setup;
  }
  static bool Installed(const char* program) {
    return access(program, X_OK) == 0;
  }
  static bool Run(std::vector<std::string> arguments) {
    SubprocessOptions options;
    options.arguments = std::move(arguments);
    auto result = RunCommand(options, absl::Minutes(2));
    return result.ok() && result->status.ok();
  }

  testing::TempDir dir_;
  std::string old_image_, new_image_;
  MakeOptions options_;
};

TEST_F(Bsdiff40, OursIsAppliedByBspatch) {
  if (!Installed("/usr/bin/bspatch")) GTEST_SKIP() << "bsdiff is not installed";
  ASSERT_OK_AND_ASSIGN(const std::string patch,
                       Make(old_image_, new_image_, options_));
  WriteFile(dir_.File("old"), old_image_);
  WriteFile(dir_.File("patch"), patch);
  ASSERT_TRUE(Run({"/usr/bin/bspatch", dir_.File("old"), dir_.File("new"),
                   dir_.File("patch")}));
  EXPECT_TRUE(ReadFile(dir_.File("new")) == new_image_);
}

TEST_F(Bsdiff40, BsdiffsIsAppliedByUs) {
  if (!Installed("/usr/bin/bsdiff")) GTEST_SKIP() << "bsdiff is not installed";
  WriteFile(dir_.File("old"), old_image_);
  WriteFile(dir_.File("new"), new_image_);
  ASSERT_TRUE(Run({"/usr/bin/bsdiff", dir_.File("old"), dir_.File("new"),
                   dir_.File("patch")}));
  const Applied applied =
      Apply(old_image_, ReadFile(dir_.File("patch")), Setup());
  ASSERT_THAT(applied.status, IsOk());
  EXPECT_TRUE(applied.written == new_image_);
}

TEST_F(Bsdiff40, TheSandboxedProgramTakesIt) {
  ASSERT_OK_AND_ASSIGN(const std::string patch,
                       Make(old_image_, new_image_, options_));
  WriteFile(dir_.File("old"), old_image_);
  WriteFile(dir_.File("patch"), patch);
  agent::PatchJob job;
  job.patch_path = dir_.File("patch");
  job.old_path = dir_.File("old");
  job.new_path = dir_.File("new");
  job.expected_size = new_image_.size();
  job.expected_sha256 = crypto::Sha256Digest(new_image_);
  job.program = testing::BinPath("shoal-patch");
  ASSERT_OK(agent::RunPatch(job));
  EXPECT_TRUE(ReadFile(job.new_path) == new_image_);
  job.max_memory = 4u << 20;
  EXPECT_THAT(agent::RunPatch(job), FailsBecause("delta_memory"));
  job.max_memory = 8u << 20;
  old_image_[7] ^= 1;  // the format says nothing about the base
  WriteFile(dir_.File("old"), old_image_);
  EXPECT_THAT(agent::RunPatch(job), FailsBecause("wrong_result"));
}

TEST_F(Bsdiff40, T31_DamageIsAnErrorOrTheRightImage) {
  old_image_.resize(20000);
  new_image_ = old_image_.substr(0, 9000) + "new" + old_image_.substr(9500);
  ASSERT_OK_AND_ASSIGN(const std::string patch,
                       Make(old_image_, new_image_, options_));
  std::mt19937_64 random(4);
  for (size_t i = 0; i < 2000; ++i) {
    std::string damaged = patch;
    const size_t at = i < patch.size() ? i : random() % patch.size();
    damaged[at] = static_cast<char>(random());
    const Applied applied = Apply(old_image_, damaged, Setup());
    ASSERT_LE(applied.written.size(), new_image_.size());
    if (applied.status.ok()) {
      ASSERT_TRUE(applied.written == new_image_);
    }
  }
  // What is cut off may be no more than the end mark of the last stream.
  for (size_t n = 0; n < patch.size(); n += 7) {
    const Applied applied = Apply(old_image_, patch.substr(0, n), Setup());
    if (applied.status.ok()) {
      ASSERT_TRUE(applied.written == new_image_);
    }
  }
  EXPECT_FALSE(Apply(old_image_, patch.substr(0, patch.size() / 2), Setup())
                   .status.ok());
}

std::string Bzip2(const std::string& bytes) {
  std::string out(bytes.size() + bytes.size() / 100 + 600, '\0');
  unsigned size = static_cast<unsigned>(out.size());
  EXPECT_EQ(BZ2_bzBuffToBuffCompress(
                out.data(), &size, const_cast<char*>(bytes.data()),
                static_cast<unsigned>(bytes.size()), 9, 0, 0),
            BZ_OK);
  return out.substr(0, size);
}

std::string Patch(const std::vector<int64_t>& control, const std::string& diff,
                  const std::string& extra, uint64_t new_size) {
  std::string numbers;
  for (const int64_t n : control) AppendBsdiff40Number(numbers, n);
  const std::string c = Bzip2(numbers), d = Bzip2(diff), e = Bzip2(extra);
  return EncodeBsdiff40Header({c.size(), d.size(), new_size}) + c + d + e;
}

TEST(Bsdiff40Hostile, T31_ImpossibleInstructions) {
  const std::string base = "0123456789";
  ApplySetup setup;
  setup.expected_size = 10;
  setup.expected_sha256 = crypto::Sha256Digest(base);
  const std::string zeros(10, '\0');
  EXPECT_OK(Apply(base, Patch({10, 0, 0}, zeros, "", 10), setup).status);
  // Places outside the base count as zeros, as they always did.
  const Applied outside = Apply(
      base, Patch({0, 0, -5, 5, 0, 0, 0, 5, 0}, "01234", "56789", 10), setup);
  EXPECT_THAT(outside.status, IsOk());
  const struct {
    const char* what;
    std::vector<int64_t> control;
    const char* reason;
  } kCases[] = {
      {"more than declared", {11, 0, 0}, "delta_too_large"},
      {"much more", {INT64_MAX, 0, 0}, "delta_too_large"},
      {"extra beyond", {5, INT64_MAX, 0}, "delta_too_large"},
      {"negative", {-1, 0, 0}, "delta_corrupt"},
      {"negative extra", {1, -1, 0}, "delta_corrupt"},
      {"ends", {5, 0, 0}, "delta_corrupt"},
      {"moves too far",
       {0, 0, INT64_MAX, 0, 0, INT64_MAX, 10, 0, 0},
       "delta_corrupt"},
  };
  for (const auto& bad : kCases) {
    SCOPED_TRACE(bad.what);
    const Applied applied =
        Apply(base, Patch(bad.control, zeros, "", 10), setup);
    EXPECT_THAT(applied.status, FailsBecause(bad.reason));
    EXPECT_LE(applied.written.size(), 10u);
  }
  // Millions of instructions that do nothing.
  const std::vector<int64_t> idle(3 * (1 << 21), 0);
  EXPECT_THAT(Apply(base, Patch(idle, "", "", 10), setup).status,
              FailsBecause("delta_corrupt"));
}

}  // namespace
}  // namespace shoal::delta
