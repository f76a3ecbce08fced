// Damaged patches of whole images: every byte of the header, and random bytes
// of the body. Each gives an error or the right image, never a crash and never
// a byte beyond the image. In the everyday run of small images; with
//
//   SHOAL_DELTA_CORPUS=DIR [SHOAL_DELTA_DAMAGES=10000]
//
// also of every pair DIR/<pair>/{old,new}; it prints how many damages that
// were.
//
// A patch is applied once. Where the applier reads a byte that shall be
// damaged, a forked child gets it damaged and goes on to its end: nothing
// before that byte differs, so it needs not be made again for each of them.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "delta/make/mapped_file.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

struct Images {
  std::string_view old_image, new_image;
  std::string new_sha256;
};

// How a child ended; every other way is a fault.
constexpr int kFailed = 10;     // with an error, as it should
constexpr int kCameRight = 11;  // the damage did not matter

class DamagedRuns {
 public:
  // `damages`: places in the patch, ascending.
  DamagedRuns(const Images& images, const std::string& patch,
              std::vector<size_t> damages)
      : images_(images), patch_(patch), damages_(std::move(damages)) {}

  void Run() {
    const bool right = AppliesRight();
    if (child_)
      _exit(::testing::Test::HasFailure() ? 1 : right ? kCameRight : kFailed);
    EXPECT_TRUE(right);
    EXPECT_EQ(next_, damages_.size()) << "damages that were not tried";
  }

 private:
  // True when the image came out right; nothing else may come out.
  bool AppliesRight() {
    ApplyOptions apply;
    apply.read_patch = [this](char* buffer, size_t size) {
      return ReadPatch(buffer, size);
    };
    apply.read_old = [this](uint64_t at, char* buffer, size_t size) {
      EXPECT_LE(at + size, images_.old_image.size());
      memcpy(buffer, images_.old_image.data() + at, size);
      return absl::OkStatus();
    };
    apply.old_size = images_.old_image.size();
    apply.write_new = [this](std::string_view bytes) {
      EXPECT_LE(written_ + bytes.size(), images_.new_image.size());
      right_ &= images_.new_image.substr(written_, bytes.size()) == bytes;
      written_ += bytes.size();
      return absl::OkStatus();
    };
    apply.expected_size = images_.new_image.size();
    apply.expected_sha256 = images_.new_sha256;
    apply.max_memory = 64u << 20;
    auto applier = Applier::Create(std::move(apply));
    if (!applier.ok() || !(*applier)->Run().ok()) return false;
    EXPECT_TRUE(right_);
    EXPECT_EQ(written_, images_.new_image.size());
    return true;
  }

  absl::StatusOr<size_t> ReadPatch(char* buffer, size_t size) {
    const size_t n = std::min(size, patch_.size() - at_);
    memcpy(buffer, patch_.data() + at_, n);
    while (!child_ && next_ < damages_.size() && damages_[next_] < at_ + n) {
      const size_t damage = damages_[next_++];
      const char by = static_cast<char>(1 + random_() % 255);
      const pid_t pid = fork();
      if (pid == 0) {
        child_ = true;
        buffer[damage - at_] = static_cast<char>(buffer[damage - at_] ^ by);
        break;
      }
      WaitFor(pid, damage);
    }
    at_ += n;
    return n;
  }

  void WaitFor(pid_t pid, size_t damage) {
    int status = 0;
    ASSERT_GT(pid, 0) << "fork";
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFEXITED(status))
        << "byte " << damage << " ends it by signal " << WTERMSIG(status);
    // What is signed says another digest than a changed header.
    EXPECT_TRUE(WEXITSTATUS(status) == kFailed ||
                (WEXITSTATUS(status) == kCameRight && damage >= kHeaderSize))
        << "byte " << damage << ": " << WEXITSTATUS(status);
  }

  const Images& images_;
  const std::string& patch_;
  std::vector<size_t> damages_;
  std::mt19937_64 random_{17};
  size_t at_ = 0, next_ = 0;
  uint64_t written_ = 0;
  bool child_ = false, right_ = true;
};

// The damages of the body that were tried.
size_t CheckDamages(const Images& images, const std::string& patch,
                    size_t of_the_body) {
  std::mt19937_64 random(18);
  std::vector<size_t> damages;
  for (size_t at = 0; at < kHeaderSize; ++at) damages.push_back(at);
  if (patch.size() == kHeaderSize) of_the_body = 0;
  for (size_t i = 0; i < of_the_body; ++i)
    damages.push_back(kHeaderSize + random() % (patch.size() - kHeaderSize));
  std::sort(damages.begin(), damages.end());
  DamagedRuns(images, patch, std::move(damages)).Run();
  return of_the_body;
}

void CheckPair(const std::string& old_path, const std::string& new_path,
               size_t damages) {
  testing::TempDir dir;
  const std::string patch_path = dir.File("patch");
  for (const Coding coding : {Coding::kModel, Coding::kZstd}) {
    MakeOptions options;
    options.coding = coding;
    ASSERT_OK_AND_ASSIGN(const MakeStats stats,
                         MakeDelta(options, old_path, new_path, patch_path));
    ASSERT_OK_AND_ASSIGN(const auto old_file, MappedFile::Open(old_path));
    ASSERT_OK_AND_ASSIGN(const auto new_file, MappedFile::Open(new_path));
    const size_t tried =
        CheckDamages({old_file->bytes(), new_file->bytes(), stats.new_sha256},
                     ReadFile(patch_path), damages);
    printf("%s, %s: %zu bytes of the header, %zu of the body\n",
           new_path.c_str(), coding == Coding::kModel ? "model" : "zstd",
           kHeaderSize, tried);
  }
}

constexpr size_t kEveryday = 100;

TEST(Damage, T31_OfPatchesOfCodeAndOfCompressedFileSystems) {
  testing::TempDir dir;
  std::mt19937_64 random(3);
  const std::string code = CodeLike(random, 40000);
  WriteFile(dir.File("code-old"), code);
  WriteFile(dir.File("code-new"), Mutate(random, code));
  CheckPair(dir.File("code-old"), dir.File("code-new"), kEveryday);
  // Expanded in the patch, compressed again by its reader.
  const std::string fixtures =
      testing::SourcePath("tests/unit/delta_image/fixtures/");
  for (const char* pair : {"gzip", "xz"}) {
    std::string image = ReadFile(fixtures + pair + ".squashfs");
    ASSERT_FALSE(image.empty());
    WriteFile(dir.File("fs-old"), image);
    WriteFile(dir.File("fs-new"), image.substr(0, 5000) + image);
    CheckPair(dir.File("fs-old"), dir.File("fs-new"), kEveryday);
  }
}

TEST(Damage, T31_OfPatchesOfTheCorpus) {
  const char* corpus = getenv("SHOAL_DELTA_CORPUS");
  if (corpus == nullptr) GTEST_SKIP() << "SHOAL_DELTA_CORPUS is not set";
  const char* of_the_body = getenv("SHOAL_DELTA_DAMAGES");
  const size_t damages =
      of_the_body == nullptr ? 10000 : static_cast<size_t>(atoll(of_the_body));
  int pairs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    const std::string old_path = entry.path() / "old";
    if (!std::filesystem::exists(old_path)) continue;
    SCOPED_TRACE(old_path);
    CheckPair(old_path, entry.path() / "new", damages);
    ++pairs;
  }
  EXPECT_GT(pairs, 0) << "no DIR/<pair>/{old,new} in " << corpus;
}

}  // namespace
}  // namespace shoal::delta
