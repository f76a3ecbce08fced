// shoal-patch, the real program, through patch_runner; and its sandbox.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <random>

#include "agent/patch/heartbeat.h"
#include "agent/patch/patch_runner.h"
#include "agent/patch/sandbox.h"
#include "common/crypto/hash.h"
#include "delta/image/image_map.h"
#include "tests/support/fake_clock.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::agent {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

class PatchProgram : public ::testing::Test {
 protected:
  void SetUp() override { SetImages(400000); }
  void SetImages(size_t size) {
    std::mt19937_64 random(11);
    old_image_ = delta::CodeLike(random, size);
    new_image_ = delta::Mutate(random, old_image_) +
                 delta::RandomBytes(random, size / 4);
    delta::WriteFile(dir_.File("old"), old_image_);
    delta::WriteFile(dir_.File("new-image"), new_image_);
    delta::MakeOptions options = delta::SmallOptions();
    options.window_size = 64 << 10;
    ASSERT_OK(delta::MakeDelta(options, dir_.File("old"),
                               dir_.File("new-image"), dir_.File("patch")));
    job_.patch_path = dir_.File("patch");
    job_.old_path = dir_.File("old");
    job_.new_path = dir_.File("new");
    job_.expected_size = new_image_.size();
    job_.expected_sha256 = crypto::Sha256Digest(new_image_);
    job_.program = testing::BinPath("shoal-patch");
  }

  testing::TempDir dir_;
  std::string old_image_, new_image_;
  PatchJob job_;
};

TEST_F(PatchProgram, MakesTheNewSlot) {
  // Left over from an earlier, longer image.
  delta::WriteFile(job_.new_path, std::string(new_image_.size() + 5000, 'x'));
  uint64_t last = 0;
  ASSERT_OK(RunPatch(job_, [&](uint64_t written, const std::string&) {
    EXPECT_GE(written, last);
    last = written;
  }));
  EXPECT_TRUE(delta::ReadFile(job_.new_path) == new_image_);
  EXPECT_GT(last, 0u);
}

TEST_F(PatchProgram, T30_WrongBaseWritesNothing) {
  old_image_[1000] ^= 1;
  delta::WriteFile(job_.old_path, old_image_);
  EXPECT_THAT(RunPatch(job_), FailsBecause("wrong_base"));
  EXPECT_EQ(delta::ReadFile(job_.new_path), "");
}

TEST_F(PatchProgram, T31_ReasonsComeThroughUnchanged) {
  const std::string patch = delta::ReadFile(job_.patch_path);
  delta::WriteFile(job_.patch_path, patch.substr(0, patch.size() - 1));
  EXPECT_THAT(RunPatch(job_), FailsBecause("delta_truncated"));
  delta::WriteFile(job_.patch_path, patch + "x");
  EXPECT_THAT(RunPatch(job_), FailsBecause("delta_corrupt"));
  std::string later = patch;
  later[6] = 9;
  delta::WriteFile(job_.patch_path, later);
  EXPECT_THAT(RunPatch(job_), FailsBecause("unsupported_delta"));
  delta::WriteFile(job_.patch_path, patch);
  job_.max_memory = 100000;
  EXPECT_THAT(RunPatch(job_), FailsBecause("delta_memory"));
}

TEST_F(PatchProgram, T32_AnotherResultThanTheSignedOneIsRefused) {
  job_.expected_sha256 = crypto::Sha256Digest("another");
  EXPECT_THAT(RunPatch(job_), FailsBecause("wrong_result"));
  EXPECT_EQ(delta::ReadFile(job_.new_path), "");
}

TEST_F(PatchProgram, OldSizeLimitsALargerSlot) {
  delta::WriteFile(job_.old_path, old_image_ + std::string(100000, '\xff'));
  job_.old_size = old_image_.size();
  EXPECT_OK(RunPatch(job_));
  job_.old_size = old_image_.size() - 1;
  EXPECT_THAT(RunPatch(job_), FailsBecause("wrong_base"));
  job_.old_size = old_image_.size() + 100001;
  EXPECT_THAT(RunPatch(job_), FailsBecause("wrong_base"));
}

TEST_F(PatchProgram, OldSlotIsNeverTheNewOne) {
  job_.new_path = job_.old_path;
  EXPECT_THAT(RunPatch(job_), FailsBecause("bad_argument"));
  EXPECT_TRUE(delta::ReadFile(job_.old_path) == old_image_);
}

TEST_F(PatchProgram, MissingFilesAndProgramAreErrors) {
  PatchJob job = job_;
  job.patch_path = dir_.File("none");
  EXPECT_THAT(RunPatch(job), FailsBecause("io_not_found"));
  job = job_;
  job.program = dir_.File("no-program");
  EXPECT_THAT(RunPatch(job), FailsBecause("io_not_found"));
}

// A device with slow flash hashes for minutes: silence would be taken for a
// hang.
TEST_F(PatchProgram, SaysThatItLivesWhileItHashes) {
  constexpr off_t kBase = 512 << 20;  // a fifth of a second at the very least
  delta::WriteFile(job_.old_path, "");
  ASSERT_EQ(truncate(job_.old_path.c_str(), kBase), 0);
  void* const base =
      mmap(nullptr, kBase, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(base, MAP_FAILED);
  delta::PatchBuilder patch({static_cast<const char*>(base), kBase}, "new");
  munmap(base, kBase);
  delta::WriteFile(
      job_.patch_path,
      patch
          .Add({.new_size = 3,
                .control = delta::Instruction(delta::Op::kExtra, 3),
                .diff = {},
                .extra = "new"})
          .Build());
  job_.expected_size = 3;
  job_.expected_sha256 = crypto::Sha256Digest("new");
  int while_hashing = 0;
  ASSERT_OK(RunPatch(job_, [&](uint64_t written, const std::string&) {
    if (written == 0) ++while_hashing;
  }));
  EXPECT_GE(while_hashing, 2);
  EXPECT_EQ(delta::ReadFile(job_.new_path), "new");
}

// Steps of ten seconds each, as of a card that is dying.
TEST(HeartbeatTest, BeatsWithEachSlowStepAndOncePerIntervalOfFastOnes) {
  testing::FakeClock clock;
  std::vector<uint64_t> said;
  Heartbeat heart(clock, [&](uint64_t written) { said.push_back(written); });
  heart.Beat();
  EXPECT_TRUE(said.empty()) << "before it began";
  heart.Begin(0);
  for (int i = 0; i < 30; ++i) {
    clock.Advance(absl::Seconds(10));
    heart.Beat();
  }
  EXPECT_EQ(said, std::vector<uint64_t>(30, 0));
  heart.Written(5);
  EXPECT_EQ(said.back(), 5u) << "at once";
  for (int i = 0; i < 1000; ++i) {
    clock.Advance(absl::Milliseconds(1));
    heart.Beat();
    heart.Written(6);
  }
  EXPECT_EQ(said.size(), 41u);
  EXPECT_EQ(said.back(), 6u);
}

TEST_F(PatchProgram, TellsItsTools) {
  ASSERT_OK_AND_ASSIGN(const PatchTools tools, AskPatchTools(job_.program));
  EXPECT_EQ(tools.model, delta::kModelVersion);
  const auto libraries = delta::CodecLibraries();
  EXPECT_EQ(std::set<std::string>(tools.codecs.begin(), tools.codecs.end()),
            libraries);
  EXPECT_EQ(libraries.size(), 5u);
  // One of an older package knows no such question.
  EXPECT_THAT(AskPatchTools("/bin/echo"), FailsBecause("patch_crashed"));
  EXPECT_THAT(AskPatchTools("/bin/false"), FailsBecause("patch_crashed"));
  EXPECT_THAT(AskPatchTools(dir_.File("none")), FailsBecause("io_not_found"));
}

TEST_F(PatchProgram, AChildThatGivesNoAnswerHasCrashed) {
  job_.program = "/bin/true";
  EXPECT_THAT(RunPatch(job_), FailsBecause("patch_crashed"));
  job_.program = "/bin/false";
  EXPECT_THAT(RunPatch(job_), FailsBecause("patch_crashed"));
  job_.program = "/bin/echo";  // answers, but no JSON
  EXPECT_THAT(RunPatch(job_), FailsBecause("patch_crashed"));
}

TEST_F(PatchProgram, T35_AChildKilledByASignalHasCrashed) {
  job_.program = dir_.File("dies");
  delta::WriteFile(job_.program, "#!/bin/sh\nkill -SYS $$\n");
  ASSERT_EQ(chmod(job_.program.c_str(), 0700), 0);
  EXPECT_THAT(RunPatch(job_), FailsBecause("patch_crashed"));
  // Even when it said that all is well.
  delta::WriteFile(job_.program,
                   "#!/bin/sh\necho '{\"ok\":true,\"bytes\":'$2',\"sha256\":"
                   "\"'$4'\"}'\nkill -SYS $$\n");
  EXPECT_THAT(RunPatch(job_), FailsBecause("patch_crashed"));
  // Nor is an answer about another image one.
  delta::WriteFile(job_.program,
                   "#!/bin/sh\necho '{\"ok\":true,\"bytes\":1,\"sha256\":"
                   "\"'$4'\"}'\n");
  EXPECT_THAT(RunPatch(job_), FailsBecause("patch_crashed"));
}

TEST_F(PatchProgram, AChildThatHangsIsKilled) {
  job_.program = dir_.File("hangs");
  delta::WriteFile(job_.program, "#!/bin/sh\nexec /bin/sleep 1000\n");
  ASSERT_EQ(chmod(job_.program.c_str(), 0700), 0);
  job_.stall_timeout = absl::Milliseconds(300);
  EXPECT_THAT(RunPatch(job_), FailsBecause("patch_stalled"));
}

TEST_F(PatchProgram, CancelStopsIt) {
  std::atomic<bool> cancel{true};
  job_.cancel = &cancel;
  EXPECT_THAT(RunPatch(job_), FailsBecause("cancelled"));
}

TEST_F(PatchProgram, ResumesFromAReportedState) {
  SetImages(30 << 20);
  std::string state;
  uint64_t at = 0;
  std::atomic<bool> cancel{false};
  job_.cancel = &cancel;
  const absl::Status first =
      RunPatch(job_, [&](uint64_t written, const std::string& resume_state) {
        if (resume_state.empty() || !state.empty()) return;
        state = resume_state;
        at = written;
        cancel = true;
      });
  ASSERT_GT(at, 0u);
  ASSERT_LT(at, new_image_.size());
  // On a fast machine the child may have ended before it was cancelled.
  if (!first.ok()) {
    EXPECT_THAT(first, FailsBecause("cancelled"));
  }
  delta::WriteFile(job_.new_path, new_image_.substr(0, at) + "torn");
  cancel = false;
  job_.resume_state = state;
  uint64_t lowest = new_image_.size();
  ASSERT_OK(RunPatch(job_, [&](uint64_t written, const std::string&) {
    lowest = std::min(lowest, written);
  }));
  EXPECT_TRUE(delta::ReadFile(job_.new_path) == new_image_);
  // It lives while it hashes and makes again what is there, and then goes on.
  EXPECT_EQ(lowest, at);
  delta::WriteFile(job_.new_path, new_image_.substr(0, at - 1) + "?");
  EXPECT_THAT(RunPatch(job_), FailsBecause("bad_resume"));
}

// What happened to a child that entered the sandbox and then ran `body`:
// killed by a signal (negative) or its exit code.
int InSandbox(const std::function<int()>& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    // Descriptors 3, 4 and 5 are what the program has.
    const int null = open("/dev/zero", O_RDWR);
    for (int fd = kPatchFd; fd <= kNewSlotFd; ++fd)
      if (null != fd) dup2(null, fd);
    SandboxOptions options;
    if (!EnterSandbox(options).ok()) _exit(99);
    _exit(body());
  }
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return 98;
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(Sandbox, T35_WhatThePatcherNeedsWorks) {
  EXPECT_EQ(InSandbox([] {
              char byte = 1;
              if (read(kPatchFd, &byte, 1) != 1 || byte != 0) return 1;
              if (pread(kOldSlotFd, &byte, 1, 0) != 1) return 2;
              if (pwrite(kNewSlotFd, &byte, 1, 0) != 1) return 3;
              void* memory = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              if (memory == MAP_FAILED || munmap(memory, 1 << 20) != 0)
                return 4;
              return 0;
            }),
            0);
}

TEST(Sandbox, T35_EverythingElseKills) {
  const struct {
    const char* what;
    std::function<long()> call;
  } kForbidden[] = {
      {"openat",
       [] { return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY); }},
      {"open", [] { return static_cast<long>(open("/etc/passwd", O_RDONLY)); }},
      {"socket",
       [] { return static_cast<long>(socket(AF_INET, SOCK_STREAM, 0)); }},
      {"unix socket",
       [] { return static_cast<long>(socket(AF_UNIX, SOCK_STREAM, 0)); }},
      {"fork", [] { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }},
      {"execve",
       [] { return syscall(SYS_execve, "/bin/sh", nullptr, nullptr); }},
      {"kill", [] { return syscall(SYS_kill, 1, 0); }},
      {"ptrace", [] { return syscall(SYS_ptrace, 0, 0, 0, 0); }},
      {"setuid", [] { return syscall(SYS_setuid, 0); }},
      {"mount", [] { return syscall(SYS_mount, 0, 0, 0, 0, 0); }},
      {"stat", [] { return syscall(SYS_newfstatat, AT_FDCWD, "/", 0, 0); }},
      {"dup", [] { return syscall(SYS_dup, kPatchFd); }},
      {"ioctl", [] { return syscall(SYS_ioctl, kOldSlotFd, 0, 0); }},
      {"executable memory",
       [] {
         return syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
       }},
      {"mapping the slot",
       [] {
         return syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, kOldSlotFd,
                        0);
       }},
      {"mprotect", [] { return syscall(SYS_mprotect, 0, 4096, PROT_EXEC); }},
      {"writing the old slot",
       [] { return syscall(SYS_pwrite64, kOldSlotFd, "x", 1, 0); }},
      {"writing the patch",
       [] { return syscall(SYS_write, kPatchFd, "x", 1); }},
      {"reading standard input",
       [] {
         char byte;
         return static_cast<long>(read(0, &byte, 1));
       }},
  };
  for (const auto& forbidden : kForbidden)
    EXPECT_EQ(InSandbox([&] {
                forbidden.call();
                return 0;
              }),
              -SIGSYS)
        << forbidden.what;
}

TEST(Sandbox, T35_NoPrivilegesAndNoFilesAreLeft) {
  // Seen from outside: /proc of a child that waits inside.
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    // Descriptor 3 blocks for ever: the read end of a pipe nobody writes.
    int block[2];
    if (pipe(block) != 0) _exit(97);
    const int keep = fcntl(block[0], F_DUPFD, 20);
    const int tell = fcntl(ready[1], F_DUPFD, 20);
    for (int fd = kPatchFd; fd <= kNewSlotFd; ++fd) dup2(keep, fd);
    dup2(tell, STDOUT_FILENO);
    if (!EnterSandbox({}).ok()) _exit(99);
    if (write(STDOUT_FILENO, "r", 1) != 1) _exit(96);
    for (;;) {
      char byte;
      if (read(kPatchFd, &byte, 1) <= 0) {
        // The writer went with close_range: end of file. Spin on a futex that
        // nobody wakes.
        int word = 0;
        syscall(SYS_futex, &word, 0, 0, nullptr, nullptr, 0);
      }
    }
  }
  close(ready[1]);
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1) << "the child could not enter";
  close(ready[0]);
  const std::string status =
      delta::ReadFile("/proc/" + std::to_string(pid) + "/status");
  const std::string limits =
      delta::ReadFile("/proc/" + std::to_string(pid) + "/limits");
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos) << status;
  EXPECT_NE(status.find("Seccomp:\t2"), std::string::npos);
  EXPECT_NE(status.find("CapEff:\t0000000000000000"), std::string::npos);
  EXPECT_NE(status.find("CapPrm:\t0000000000000000"), std::string::npos);
  if (geteuid() == 0) {
    EXPECT_NE(status.find("Uid:\t65534\t65534\t65534\t65534"),
              std::string::npos);
    EXPECT_NE(status.find("Gid:\t65534\t65534\t65534\t65534"),
              std::string::npos);
  }
  EXPECT_NE(limits.find("Max core file size        0 "), std::string::npos)
      << limits;
}

}  // namespace
}  // namespace shoal::agent
