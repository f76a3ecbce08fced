// Images beyond 4 GiB: every place and length in 64 bits. Sparse files, so that
// it needs no room; reading them through takes a while (nightly).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <random>
#include <string>

#include "delta/make/make.h"
#include "delta/tool/apply_file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

constexpr uint64_t kSize = (uint64_t{4} << 30) + (64u << 20);

void WriteAt(const std::string& path, uint64_t at, std::string_view bytes) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)),
            static_cast<ssize_t>(bytes.size()));
  close(fd);
}

TEST(Sparse, ImagesBeyond4GiB) {
  testing::TempDir dir;
  std::mt19937_64 random(1);
  const std::string content = RandomBytes(random, 1 << 20);
  for (const char* name : {"old", "new"}) {
    WriteAt(dir.File(name), 0, "begin");
    WriteAt(dir.File(name), kSize - 3, "end");
  }
  // From behind 4 GiB to the front, and the other way round.
  const uint64_t behind = (uint64_t{4} << 30) + 12345;
  WriteAt(dir.File("old"), behind, content.substr(0, 500000));
  WriteAt(dir.File("new"), 70000, content.substr(0, 500000));
  WriteAt(dir.File("old"), 5 << 20, content.substr(500000));
  WriteAt(dir.File("new"), behind + 1000, content.substr(500000));
  ASSERT_OK_AND_ASSIGN(
      const MakeStats stats,
      MakeDelta({}, dir.File("old"), dir.File("new"), dir.File("patch")));
  EXPECT_EQ(stats.new_size, kSize);
  EXPECT_LT(stats.patch_size, 4096u);
  ASSERT_OK_AND_ASSIGN(const AppliedFile applied, ApplyFile({dir.File("old"),
                                                             dir.File("patch"),
                                                             dir.File("out"),
                                                             kDefaultMaxMemory,
                                                             {}}));
  EXPECT_EQ(applied.size, kSize);
  EXPECT_EQ(applied.sha256, stats.new_sha256);
}

}  // namespace
}  // namespace shoal::delta
