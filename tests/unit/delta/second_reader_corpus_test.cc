// delta_reader.py reads patches of real images, those that it can in minutes.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "common/subprocess.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

// Each byte of the patch costs it about a millisecond.
constexpr uint64_t kMostCoded = 100'000;

TEST(SecondReaderCorpus, MakesTheSameImages) {
  const char* corpus = getenv("SHOAL_DELTA_CORPUS");
  if (corpus == nullptr) GTEST_SKIP() << "SHOAL_DELTA_CORPUS is not set";
  testing::TempDir dir;
  int read = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    const std::string old_path = entry.path() / "old";
    const std::string new_path = entry.path() / "new";
    if (!std::filesystem::exists(old_path) ||
        std::filesystem::file_size(new_path) > 100'000'000)
      continue;
    for (const Coding coding : {Coding::kModel, Coding::kZstd}) {
      SCOPED_TRACE(old_path);
      MakeOptions options;
      options.coding = coding;
      ASSERT_OK_AND_ASSIGN(
          const MakeStats made,
          MakeDelta(options, old_path, new_path, dir.File("patch")));
      if (coding == Coding::kModel && made.patch_size > kMostCoded) continue;
      SubprocessOptions command;
      command.arguments = {
          "/usr/bin/python3",
          "-B",
          testing::SourcePath("tests/unit/delta/delta_reader.py"),
          old_path,
          dir.File("patch"),
          dir.File("new")};
      ASSERT_OK_AND_ASSIGN(const CommandResult result,
                           RunCommand(command, absl::Minutes(20)));
      ASSERT_TRUE(result.status.ok()) << result.output;
      EXPECT_TRUE(ReadFile(dir.File("new")) == ReadFile(new_path));
      ++read;
    }
  }
  EXPECT_GT(read, 0) << "no DIR/<pair>/{old,new} in " << corpus;
}

}  // namespace
}  // namespace shoal::delta
