#include "common/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::TempDir;

TEST(Files, WriteReplacesWholeAndSetsTheMode) {
  TempDir dir;
  FileSystem& files = RealFileSystem();
  const std::string path = dir.File("a");
  ASSERT_OK(files.WriteAtomic(path, "one", 0600));
  ASSERT_OK(files.WriteAtomic(path, "two", 0600));
  ASSERT_OK_AND_ASSIGN(std::string content, files.Read(path, 100));
  EXPECT_EQ(content, "two");
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_OK_AND_ASSIGN(auto names, files.List(dir.path()));
  EXPECT_EQ(names, std::vector<std::string>{"a"});  // no temporary file left
}

TEST(Files, ReadIsCapped) {
  TempDir dir;
  ASSERT_OK(RealFileSystem().WriteAtomic(dir.File("a"), "12345"));
  EXPECT_OK(RealFileSystem().Read(dir.File("a"), 5));
  EXPECT_THAT(RealFileSystem().Read(dir.File("a"), 4),
              FailsBecause("file_too_large"));
  EXPECT_THAT(RealFileSystem().Read("/dev/zero", 1000),
              FailsBecause("file_too_large"));
}

TEST(Files, FailedWriteLeavesNothing) {
  TempDir dir;
  ASSERT_OK(RealFileSystem().MakeDirectories(dir.File("x/y")));
  // The goal is a directory: the rename fails, the temporary file goes.
  EXPECT_FALSE(RealFileSystem().WriteAtomic(dir.File("x/y"), "1").ok());
  ASSERT_OK_AND_ASSIGN(auto names, RealFileSystem().List(dir.File("x")));
  EXPECT_EQ(names, std::vector<std::string>{"y"});
}

TEST(Files, RemoveOfNothingIsFine) {
  TempDir dir;
  EXPECT_OK(RealFileSystem().Remove(dir.File("none")));
  ASSERT_OK(RealFileSystem().WriteAtomic(dir.File("a"), "x"));
  EXPECT_OK(RealFileSystem().Remove(dir.File("a")));
  EXPECT_FALSE(RealFileSystem().Exists(dir.File("a")));
}

}  // namespace
}  // namespace shoal
