// A file system whose power goes, or whose disk is full, at a write of the
// test's choice (T60, T61).
#ifndef SHOAL_TESTS_UNIT_AGENT_FAULTY_FILES_H_
#define SHOAL_TESTS_UNIT_AGENT_FAULTY_FILES_H_

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "common/files.h"
#include "common/status.h"
#include "tests/support/status_matchers.h"

namespace shoal::agent::testing {

struct PowerLoss {};

// Counts what changes the disk; number `fail_at` is the last one, and either
// happens or does not.
class FaultyFiles final : public FileSystem {
 public:
  int writes = 0;
  int fail_at = 0;
  bool takes_effect = false;
  bool disk_full = false;  // an error instead of power loss

  absl::StatusOr<std::string> Read(const std::string& path,
                                   uint64_t max) override {
    return real_.Read(path, max);
  }
  absl::Status WriteAtomic(const std::string& path, std::string_view content,
                           unsigned mode) override {
    // Without fsync: what is lost here is decided by Mutate, and thousands of
    // them would take a minute.
    return Mutate([&]() -> absl::Status {
      std::ofstream(path + ".new", std::ios::binary | std::ios::trunc)
          << content;
      if (::chmod((path + ".new").c_str(), mode) != 0)
        return ErrnoError(errno, "chmod " + path);
      return ::rename((path + ".new").c_str(), path.c_str()) == 0
                 ? absl::OkStatus()
                 : ErrnoError(errno, "rename " + path);
    });
  }
  absl::Status Remove(const std::string& path) override {
    return Mutate([&] { return real_.Remove(path); });
  }
  absl::Status MakeDirectories(const std::string& path,
                               unsigned mode) override {
    return real_.MakeDirectories(path, mode);
  }
  absl::StatusOr<std::vector<std::string>> List(
      const std::string& path) override {
    return real_.List(path);
  }
  bool Exists(const std::string& path) override { return real_.Exists(path); }
  absl::StatusOr<uint64_t> Size(const std::string& path) override {
    return real_.Size(path);
  }

 private:
  template <typename F>
  absl::Status Mutate(F effect) {
    if (++writes != fail_at) return effect();
    if (disk_full)
      return ResourceExhausted("disk_full", "no space left on device");
    if (takes_effect) {
      EXPECT_OK(effect());
    }
    throw PowerLoss{};
  }
  FileSystem& real_ = RealFileSystem();
};

}  // namespace shoal::agent::testing

#endif  // SHOAL_TESTS_UNIT_AGENT_FAULTY_FILES_H_
