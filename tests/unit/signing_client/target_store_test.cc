// What a shoal-tuf that was killed leaves in the targets' directory.
#include "signing/client/target_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>

#include "common/files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::TempDir;
using ::testing::UnorderedElementsAre;

TEST(TargetStore, LeftoversGoAndWhatIsBeingWrittenStays) {
  const TempDir dir;
  FileSystem& fs = RealFileSystem();
  const TargetStore store(dir.path());
  for (const char* name :
       {".incoming-killed", ".incoming-living", "target", ".lock"})
    ASSERT_OK(fs.WriteAtomic(dir.File(name), "bytes"));
  ASSERT_OK(fs.MakeDirectories(dir.File(".incoming-dir")));
  ASSERT_EQ(symlink("target", dir.File(".incoming-link").c_str()), 0);
  // As the process that writes it holds it.
  FileDescriptor living(
      ::open(dir.File(".incoming-living").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(living.get(), LOCK_EX), 0);
  ASSERT_OK(store.RemoveLeftovers());
  ASSERT_OK_AND_ASSIGN(auto left, fs.List(dir.path()));
  EXPECT_THAT(left, UnorderedElementsAre(".incoming-living", ".incoming-dir",
                                         ".incoming-link", "target", ".lock"));
  living = FileDescriptor();
  ASSERT_OK(store.RemoveLeftovers());
  EXPECT_FALSE(fs.Exists(dir.File(".incoming-living")));
  EXPECT_TRUE(fs.Exists(dir.File("target")));
}

TEST(TargetStore, ADirectoryThatIsNotThereYetHasNoLeftovers) {
  const TempDir dir;
  EXPECT_OK(TargetStore(dir.File("later")).RemoveLeftovers());
}

}  // namespace
}  // namespace shoal::signing
