#include "agent/boot/boot_env.h"

#include "agent/install/slots.h"
#include "tests/unit/agent/engine_rig.h"

namespace shoal::agent {
namespace {

using shoal::testing::FailsBecause;
using shoal::testing::TempDir;
using testing::WriteFile;

TEST(BootEnv, TrialHasItsTriesThenTheCommittedSlotBoots) {
  TempDir dir;
  BootEnv env;
  env.trial = "b";
  env.tries_left = 2;
  ASSERT_OK(SaveBootEnv(RealFileSystem(), dir.path(), env));
  for (int boot = 1; boot <= 4; ++boot) {
    ASSERT_OK_AND_ASSIGN(const RunningSlot slot,
                         BootOnce(RealFileSystem(), dir.path()));
    EXPECT_EQ(slot.slot, boot <= 2 ? "b" : "a");
    EXPECT_EQ(slot.trial, boot <= 2);
    EXPECT_EQ(slot.boot_count, static_cast<uint64_t>(boot));
    ASSERT_OK_AND_ASSIGN(const RunningSlot noted,
                         LoadRunning(RealFileSystem(), dir.path()));
    EXPECT_EQ(noted.slot, slot.slot);
  }
  ASSERT_OK_AND_ASSIGN(env, LoadBootEnv(RealFileSystem(), dir.path()));
  EXPECT_EQ(env.fell_back, "b");
  EXPECT_EQ(env.trial, "");
}

TEST(BootEnv, DamageIsNamed) {
  TempDir dir;
  WriteFile(dir.File("env"), "{\"committed\":\"c\"}");
  EXPECT_THAT(BootOnce(RealFileSystem(), dir.path()),
              FailsBecause("bad_boot_env"));
  WriteFile(dir.File("env"), "nonsense");
  EXPECT_THAT(BootOnce(RealFileSystem(), dir.path()),
              FailsBecause("bad_boot_env"));
}

TEST(BootEnv, T61_ADamagedFileDoesNotKeepTheDeviceFromBooting) {
  for (const char* damage : {"", "{\"committed\":", "nonsense"}) {
    TempDir dir;
    BootEnv env;
    env.committed = "b";
    env.trial = "a";
    env.tries_left = 3;
    env.boots = 7;
    ASSERT_OK(SaveBootEnv(RealFileSystem(), dir.path(), env));
    WriteFile(dir.File("env"), damage);
    ASSERT_OK_AND_ASSIGN(const RunningSlot slot,
                         BootOnce(RealFileSystem(), dir.path()));
    EXPECT_EQ(slot.slot, "b") << "never the trial: its tries are not known";
    EXPECT_EQ(slot.boot_count, 8u);
    ASSERT_OK_AND_ASSIGN(env, LoadBootEnv(RealFileSystem(), dir.path()));
    EXPECT_EQ(env.fell_back, "a");
    EXPECT_EQ(env.committed, "b");
  }
}

TEST(FileSlots, NeverTouchesTheActiveSlot) {
  testing::Rig rig;
  rig.PowerOn();
  EXPECT_THAT(rig.slots_->Invalidate("a"), FailsBecause("slot_active"));
  EXPECT_THAT(rig.slots_->MarkBootable("a", ImageInfo{}, 1),
              FailsBecause("slot_active"));
  EXPECT_THAT(rig.slots_->PathOf("../a"), FailsBecause("bad_slot"));
  EXPECT_OK(rig.slots_->Invalidate("b"));
}

TEST(FileSlots, TrialRunningTheCommittedSlotIsProtectedToo) {
  testing::Rig rig;
  rig.PowerOn();
  ImageInfo info;
  info.version = "2";
  ASSERT_OK(rig.slots_->MarkBootable("b", info, 1));
  rig.PowerOn();
  ASSERT_OK_AND_ASSIGN(const RunningImage running, rig.slots_->Running());
  EXPECT_EQ(running.slot, "b");
  EXPECT_TRUE(running.trial);
  EXPECT_THAT(rig.slots_->Invalidate("a"), FailsBecause("slot_active"));
  ASSERT_OK(rig.slots_->Commit());
  ASSERT_OK(rig.slots_->Commit());
  EXPECT_OK(rig.slots_->Invalidate("a"));
  rig.PowerOn();
  ASSERT_OK_AND_ASSIGN(const RunningImage after, rig.slots_->Running());
  EXPECT_EQ(after.slot, "b");
  EXPECT_EQ(after.info.version, "2");
}

TEST(ImageFile, ShortAndChangedFilesAreNamed) {
  TempDir dir;
  WriteFile(dir.File("x"), "hello");
  const std::string digest = crypto::Sha256Digest("hello");
  EXPECT_OK(VerifyFile(dir.File("x"), 5, digest));
  EXPECT_THAT(VerifyFile(dir.File("x"), 4, crypto::Sha256Digest("hell")),
              FailsBecause("length_mismatch"));
  EXPECT_OK(VerifyFile(dir.File("x"), 4, crypto::Sha256Digest("hell"), false));
  EXPECT_THAT(HashFile(dir.File("x"), 6), FailsBecause("short_image"));
  EXPECT_THAT(CopyVerified(dir.File("x"), dir.File("y"), 6, digest),
              FailsBecause("short_image"));
  EXPECT_THAT(
      CopyVerified(dir.File("x"), dir.File("y"), 5, std::string(32, 'a')),
      FailsBecause("digest_mismatch"));
}

}  // namespace
}  // namespace shoal::agent
