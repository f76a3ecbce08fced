#include "common/kv/store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::kv {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;
using ::shoal::testing::TempDir;
using ::testing::ElementsAre;

std::unique_ptr<Store> MemoryStore() {
  auto store = Store::Open("/memory",
                           {.column_families = {"a", "b"}, .in_memory = true});
  EXPECT_OK(store);
  return store.ok() ? std::move(*store) : nullptr;
}

std::vector<std::string> Keys(const Store& store, std::string_view cf,
                              std::string_view from, std::string_view prefix) {
  std::vector<std::string> keys;
  EXPECT_OK(
      store.Scan(cf, from, prefix, [&](std::string_view key, std::string_view) {
        keys.emplace_back(key);
        return true;
      }));
  return keys;
}

TEST(KvStore, ColumnFamiliesAreApartAndMissingKeysAreNone) {
  auto store = MemoryStore();
  WriteBatch batch;
  batch.Put("a", "k", "1");
  batch.Put("b", "k", std::string("\0x", 2));
  ASSERT_OK(store->Write(batch, true));
  EXPECT_EQ(**store->Get("a", "k"), "1");
  EXPECT_EQ(**store->Get("b", "k"), std::string("\0x", 2));
  EXPECT_FALSE(store->Get("a", "none")->has_value());
  EXPECT_THAT(store->Get("c", "k"), Fails(absl::StatusCode::kInvalidArgument,
                                          "no_such_column_family"));
}

TEST(KvStore, ABatchWithAnUnknownFamilyChangesNothing) {
  auto store = MemoryStore();
  WriteBatch batch;
  batch.Put("a", "k", "1");
  batch.Put("nowhere", "k", "1");
  EXPECT_THAT(store->Write(batch, true), FailsBecause("no_such_column_family"));
  EXPECT_FALSE(store->Get("a", "k")->has_value());
}

TEST(KvStore, ScansInByteOrderWithinAPrefixFromAKey) {
  auto store = MemoryStore();
  WriteBatch batch;
  for (const char* key : {"p\xff", "p3", "q", "p1", "o", "p2"}) {
    batch.Put("a", key, "v");
  }
  ASSERT_OK(store->Write(batch, false));
  EXPECT_THAT(Keys(*store, "a", "", "p"),
              ElementsAre("p1", "p2", "p3", "p\xff"));
  EXPECT_THAT(Keys(*store, "a", "p2", "p"), ElementsAre("p2", "p3", "p\xff"));
  EXPECT_THAT(Keys(*store, "a", "p2", ""),
              ElementsAre("p2", "p3", "p\xff", "q"));
  std::vector<std::string> backward;
  ASSERT_OK(store->ScanBackward("a", "p3", "p",
                                [&](std::string_view key, std::string_view) {
                                  backward.emplace_back(key);
                                  return backward.size() < 5;
                                }));
  EXPECT_THAT(backward, ElementsAre("p2", "p1"));
}

TEST(KvStore, DeleteRangeEndsBeforeItsEnd) {
  auto store = MemoryStore();
  WriteBatch batch;
  for (const char* key : {"1", "2", "3", "4"}) batch.Put("a", key, "v");
  batch.DeleteRange("a", "2", "4");
  ASSERT_OK(store->Write(batch, false));
  EXPECT_THAT(Keys(*store, "a", "", ""), ElementsAre("1", "4"));
}

TEST(KvStore, ASnapshotDoesNotSeeLaterWrites) {
  auto store = MemoryStore();
  WriteBatch batch;
  batch.Put("a", "k", "old");
  ASSERT_OK(store->Write(batch, false));
  auto snapshot = store->TakeSnapshot();
  batch.Clear();
  batch.Put("a", "k", "new");
  batch.Put("a", "l", "new");
  ASSERT_OK(store->Write(batch, false));
  EXPECT_EQ(**snapshot->Get("a", "k"), "old");
  int seen = 0;
  ASSERT_OK(
      snapshot->Scan("a", "", "", [&](auto, auto) { return ++seen > 0; }));
  EXPECT_EQ(seen, 1);
}

TEST(KvStore, KeepsWhatWasWrittenAndFamiliesNotNamedAtTheNextOpen) {
  TempDir dir;
  {
    ASSERT_OK_AND_ASSIGN(
        auto store, Store::Open(dir.File("s"), {.column_families = {"a"}}));
    WriteBatch batch;
    batch.Put("a", "k", "v");
    ASSERT_OK(store->Write(batch, true));
  }
  ASSERT_OK_AND_ASSIGN(auto store,
                       Store::Open(dir.File("s"), {.column_families = {"b"}}));
  EXPECT_EQ(**store->Get("a", "k"), "v");
  EXPECT_FALSE(store->Get("b", "k")->has_value());
}

TEST(KvStore, OneProcessAtATime) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto store, Store::Open(dir.File("s"), {}));
  EXPECT_THAT(Store::Open(dir.File("s"), {}),
              Fails(absl::StatusCode::kUnavailable, "kv_busy"));
}

TEST(KvStore, AMissingStoreIsMadeOnlyWhenAsked) {
  TempDir dir;
  EXPECT_THAT(Store::Open(dir.File("s"), {.create_if_missing = false}),
              Fails(absl::StatusCode::kNotFound, "kv_missing"));
}

TEST(KvStore, ABackupIsAStoreOfThatMoment) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto store,
                       Store::Open(dir.File("s"), {.column_families = {"a"}}));
  WriteBatch batch;
  batch.Put("a", "k", "v");
  ASSERT_OK(store->Write(batch, false));
  ASSERT_OK(store->Backup(dir.File("backup")));
  EXPECT_THAT(store->Backup(dir.File("backup")),
              Fails(absl::StatusCode::kAlreadyExists, "already_exists"));
  batch.Clear();
  batch.Delete("a", "k");
  ASSERT_OK(store->Write(batch, true));
  ASSERT_OK_AND_ASSIGN(auto copy, Store::Open(dir.File("backup"), {}));
  EXPECT_EQ(**copy->Get("a", "k"), "v");
}

TEST(KvStore, PrefixEnd) {
  EXPECT_EQ(PrefixEnd("ab"), "ac");
  EXPECT_EQ(PrefixEnd("a\xff"), "b");
  EXPECT_EQ(PrefixEnd("\xff\xff"), "");
  EXPECT_EQ(PrefixEnd(""), "");
}

// Runs in a child with a file system of 64 MiB of its own. Exit code: 0 as
// expected, 77 no such file system here, else the step that failed.
int FillTheDisk(const std::string& mount_point) {
  const uid_t uid = getuid();
  if (unshare(CLONE_NEWNS) != 0) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 77;
    // Without a mapping no file could be made there.
    std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
  }
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("none", mount_point.c_str(), "tmpfs", 0, "size=64m") != 0) {
    return 77;
  }
  const std::string filler = mount_point + "/filler";
  auto store = Store::Open(mount_point + "/s", {.column_families = {"a"},
                                                .min_free_bytes = 30u << 20});
  if (!store.ok()) {
    fprintf(stderr, "%s\n", store.status().ToString().c_str());
    return 1;
  }
  WriteBatch first;
  first.Put("a", "first", "kept");
  if (!(*store)->Write(first, true).ok()) return 2;
  {
    const int fd = open(filler.c_str(), O_CREAT | O_WRONLY, 0600);
    const std::string block(1 << 20, 'x');
    for (int i = 0; i < 15; ++i) {
      if (write(fd, block.data(), block.size()) < 0) return 8;
    }
    close(fd);
  }
  absl::Status failed = absl::OkStatus();
  for (int i = 0; i < 1000 && failed.ok(); ++i) {
    WriteBatch batch;
    batch.Put("a", "big" + std::to_string(i), std::string(65536, 'y'));
    failed = (*store)->Write(batch, true);
  }
  if (ReasonOf(failed) != "disk_full") {
    fprintf(stderr, "%s\n", failed.ToString().c_str());
    return 3;
  }
  if (**(*store)->Get("a", "first") != "kept") return 4;
  unlink(filler.c_str());
  // Space is back: the same store goes on, without being opened again.
  absl::Status resumed = absl::UnknownError("");
  for (int i = 0; i < 200 && !resumed.ok(); ++i) {
    WriteBatch batch;
    batch.Put("a", "later", "too");
    resumed = (*store)->Write(batch, true);
    if (!resumed.ok()) usleep(50000);
  }
  if (!resumed.ok()) return 5;
  store->reset();
  auto again = Store::Open(mount_point + "/s", {});
  if (!again.ok()) return 6;
  return **(*again)->Get("a", "later") == "too" &&
                 **(*again)->Get("a", "first") == "kept"
             ? 0
             : 7;
}

TEST(KvStore, T61_DiskFullIsATypedErrorAndTheStoreGoesOnWhenThereIsSpace) {
  TempDir dir;
  const std::string mount_point = dir.File("mnt");
  ASSERT_EQ(mkdir(mount_point.c_str(), 0700), 0);
  const pid_t child = fork();
  if (child == 0) _exit(FillTheDisk(mount_point));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    GTEST_SKIP() << "may not mount a small file system here";
  }
  EXPECT_EQ(WEXITSTATUS(status), 0) << "failed at this step";
}

}  // namespace
}  // namespace shoal::kv
