#include "server/cli/export_tree.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::cli {
namespace {

using testing::FailsBecause;

release::v1::ExportRepositoryResponse Part(const std::string& path,
                                           const std::string& chunk,
                                           bool last) {
  release::v1::ExportRepositoryResponse part;
  part.set_path(path);
  part.set_chunk(chunk);
  part.set_last(last);
  return part;
}

TEST(ExportTree, WritesFilesAndTheTimestampLast) {
  testing::TempDir dir;
  ExportTree tree(RealFileSystem(), dir.File("out"));
  ASSERT_OK(tree.Add(Part("metadata/timestamp.json", "t", true)));
  ASSERT_OK(tree.Add(
      Part("targets/fw/g/1/" + std::string(64, 'a') + ".image", "ab", false)));
  ASSERT_OK(tree.Add(Part("", "cd", true)));
  EXPECT_FALSE(
      RealFileSystem().Exists(dir.File("out/metadata/timestamp.json")));
  ASSERT_OK(tree.Finish());
  EXPECT_EQ(tree.files(), 2u);
  EXPECT_EQ(tree.bytes(), 5u);
  EXPECT_EQ(*RealFileSystem().Read(dir.File("out/metadata/timestamp.json"), 9),
            "t");
  EXPECT_EQ(
      *RealFileSystem().Read(
          dir.File("out/targets/fw/g/1/" + std::string(64, 'a') + ".image"), 9),
      "abcd");
}

TEST(ExportTree, T34_PathsStayInTheDirectory) {
  for (const char* path :
       {"../x", "/etc/x", "a/../b", "a//b", "a/./b", ".hidden", "a/", "-x"}) {
    testing::TempDir dir;
    ExportTree tree(RealFileSystem(), dir.File("out"));
    EXPECT_THAT(tree.Add(Part(path, "x", true)), FailsBecause("bad_path"))
        << path;
  }
}

TEST(ExportTree, ABrokenStreamLeavesNoTimestamp) {
  testing::TempDir dir;
  {
    ExportTree tree(RealFileSystem(), dir.File("out"));
    EXPECT_THAT(tree.Add(Part("", "x", true)), FailsBecause("bad_stream"));
    ASSERT_OK(tree.Add(Part("metadata/timestamp.json", "t", true)));
    ASSERT_OK(tree.Add(Part("metadata/1.root.json", "r", false)));
    EXPECT_THAT(tree.Add(Part("metadata/2.root.json", "r", false)),
                FailsBecause("bad_stream"));
    EXPECT_THAT(tree.Finish(), FailsBecause("truncated"));
  }
  EXPECT_TRUE(RealFileSystem().List(dir.File("out/metadata"))->empty());
}

}  // namespace
}  // namespace shoal::cli
