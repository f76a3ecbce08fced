#include "agent/patch/sandbox.h"

#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "common/status.h"

namespace shoal::agent {
namespace {

// Sanitizers reserve terabytes of address space and use more system calls
// when they report; the filter stays, the address space limit cannot.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

// Slack for the allocator's rounding and the stack.
constexpr uint64_t kMemorySlack = 2u << 20;

absl::Status Failed(int error, const char* what) {
  return Internal("sandbox_failed",
                  std::string(what) + ": " + std::string(strerror(error)));
}

// Bytes of address space in use, before /proc is out of reach.
absl::StatusOr<uint64_t> AddressSpaceNow() {
  std::unique_ptr<FILE, int (*)(FILE*)> file(fopen("/proc/self/statm", "re"),
                                             fclose);
  unsigned long pages = 0;
  if (file == nullptr || fscanf(file.get(), "%lu", &pages) != 1)
    return Failed(errno, "read /proc/self/statm");
  return uint64_t{pages} * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

absl::Status Limit(__rlimit_resource resource, rlim_t value, const char* what) {
  const rlimit limit{value, value};
  if (setrlimit(resource, &limit) != 0) return Failed(errno, what);
  return absl::OkStatus();
}

absl::Status SetLimits(const SandboxOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const uint64_t now, AddressSpaceNow());
  SHOAL_RETURN_IF_ERROR(Limit(RLIMIT_CORE, 0, "limit core dumps"));
  SHOAL_RETURN_IF_ERROR(Limit(RLIMIT_NPROC, 0, "limit processes"));
  // No new descriptor below the limit is free: 0 to 5 are all there may be.
  SHOAL_RETURN_IF_ERROR(Limit(RLIMIT_NOFILE, kNewSlotFd + 1, "limit files"));
  if (kSanitized) return absl::OkStatus();
  return Limit(RLIMIT_AS, now + options.max_memory + kMemorySlack,
               "limit memory");
}

absl::Status BecomeNobody() {
  if (geteuid() != 0) return absl::OkStatus();
  if (setgroups(0, nullptr) != 0) return Failed(errno, "setgroups");
  if (setresgid(kNobody, kNobody, kNobody) != 0)
    return Failed(errno, "setresgid");
  if (setresuid(kNobody, kNobody, kNobody) != 0)
    return Failed(errno, "setresuid");
  if (setuid(0) == 0) return Failed(EPERM, "root is still reachable");
  return absl::OkStatus();
}

struct FreeFilter {
  void operator()(void* filter) const { seccomp_release(filter); }
};

absl::Status InstallFilter() {
  const std::unique_ptr<void, FreeFilter> filter(
      seccomp_init(SCMP_ACT_KILL_PROCESS));
  if (filter == nullptr) return Failed(ENOMEM, "seccomp_init");
  int error = 0;
  const auto allow = [&](int call) {
    if (error == 0)
      error = seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call, 0,
                                     nullptr);
  };
  const auto allow_fd = [&](int call, int fd) {
    const scmp_arg_cmp on_fd =
        SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(fd));
    if (error == 0)
      error =
          seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call, 1, &on_fd);
  };
  allow_fd(SCMP_SYS(read), kPatchFd);
  allow_fd(SCMP_SYS(pread64), kPatchFd);  // BSDIFF40: three streams at a time
  allow_fd(SCMP_SYS(pread64), kOldSlotFd);
  allow_fd(SCMP_SYS(pread64), kNewSlotFd);
  allow_fd(SCMP_SYS(pwrite64), kNewSlotFd);
  allow_fd(SCMP_SYS(fsync), kNewSlotFd);
  allow_fd(SCMP_SYS(fdatasync), kNewSlotFd);
  allow_fd(SCMP_SYS(ftruncate), kNewSlotFd);
  allow_fd(SCMP_SYS(write), STDOUT_FILENO);
  allow_fd(SCMP_SYS(write), STDERR_FILENO);
  // Anonymous memory that cannot be executed.
  const scmp_arg_cmp memory[] = {
      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
      SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS)};
  if (error == 0)
    error = seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(mmap),
                                   2, memory);
  allow(SCMP_SYS(munmap));
  allow(SCMP_SYS(mremap));
  allow(SCMP_SYS(madvise));
  allow(SCMP_SYS(brk));
  allow(SCMP_SYS(futex));
  allow(SCMP_SYS(clock_gettime));  // where the vDSO does not serve it
  allow(SCMP_SYS(rt_sigreturn));
  allow(SCMP_SYS(exit));
  allow(SCMP_SYS(exit_group));
  if (kSanitized) {
    // What the sanitizers' run time calls by itself.
    allow(SCMP_SYS(sched_yield));
    allow(SCMP_SYS(getpid));
    allow(SCMP_SYS(gettid));
    allow(SCMP_SYS(sigaltstack));
    allow(SCMP_SYS(rt_sigprocmask));
  }
  if (error != 0) return Failed(-error, "seccomp rule");
  error = seccomp_load(filter.get());
  if (error != 0) return Failed(-error, "seccomp_load");
  return absl::OkStatus();
}

}  // namespace

absl::Status EnterSandbox(const SandboxOptions& options) {
  close(STDIN_FILENO);
  if (syscall(SYS_close_range, kNewSlotFd + 1, ~0u, 0) != 0)
    return Failed(errno, "close_range");
  SHOAL_RETURN_IF_ERROR(SetLimits(options));
  SHOAL_RETURN_IF_ERROR(BecomeNobody());
  // A change of user clears the parent-death signal: set it again.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
    return Failed(errno, "PR_SET_PDEATHSIG");
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return Failed(errno, "PR_SET_DUMPABLE");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return Failed(errno, "PR_SET_NO_NEW_PRIVS");
  return InstallFilter();
}

}  // namespace shoal::agent
