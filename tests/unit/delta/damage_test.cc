// Damaged patches of whole images: every byte of the header, and random bytes
// of the body. Each gives an error or the right image, never a crash and never
// a byte beyond the image. In the everyday run of small images; with
//
//   SHOAL_DELTA_CORPUS=DIR [SHOAL_DELTA_DAMAGES=10000] [SHOAL_DELTA_SECONDS=60]
//
// also of every pair DIR/<pair>/{old,new}, at most so many seconds of each; it
// prints how many damages that were.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>

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

// True when the image came out right; nothing else may come out.
bool AppliesRight(const Images& images, std::string_view patch) {
  std::string_view rest = patch;
  uint64_t written = 0;
  bool right = true;
  ApplyOptions apply;
  apply.read_patch = [&](char* buffer, size_t size) -> absl::StatusOr<size_t> {
    const size_t n = std::min(size, rest.size());
    memcpy(buffer, rest.data(), n);
    rest.remove_prefix(n);
    return n;
  };
  apply.read_old = [&](uint64_t at, char* buffer, size_t size) {
    EXPECT_LE(at + size, images.old_image.size());
    memcpy(buffer, images.old_image.data() + at, size);
    return absl::OkStatus();
  };
  apply.old_size = images.old_image.size();
  apply.write_new = [&](std::string_view bytes) {
    EXPECT_LE(written + bytes.size(), images.new_image.size());
    right &= images.new_image.substr(written, bytes.size()) == bytes;
    written += bytes.size();
    return absl::OkStatus();
  };
  apply.expected_size = images.new_image.size();
  apply.expected_sha256 = images.new_sha256;
  apply.max_memory = 64u << 20;
  auto applier = Applier::Create(std::move(apply));
  if (!applier.ok() || !(*applier)->Run().ok()) return false;
  EXPECT_TRUE(right);
  EXPECT_EQ(written, images.new_image.size());
  return true;
}

struct Limits {
  int damages = 100;
  double seconds = 1e9;
};

// The damages of the body that were tried.
int CheckDamages(const Images& images, const std::string& patch,
                 const Limits& limits) {
  std::mt19937_64 random(17);
  EXPECT_TRUE(AppliesRight(images, patch));
  std::string damaged = patch;
  const auto damage = [&](size_t at) {
    damaged[at] =
        static_cast<char>(damaged[at] ^ static_cast<char>(1 + random() % 255));
    // What is signed says another digest than a changed header.
    EXPECT_FALSE(AppliesRight(images, damaged) && at < kHeaderSize) << at;
    damaged[at] = patch[at];
  };
  for (size_t at = 0; at < kHeaderSize; ++at) damage(at);
  if (patch.size() == kHeaderSize) return 0;
  const auto start = std::chrono::steady_clock::now();
  for (int done = 0; done < limits.damages; ++done) {
    if (std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count() > limits.seconds)
      return done;
    damage(kHeaderSize + random() % (patch.size() - kHeaderSize));
  }
  return limits.damages;
}

void CheckPair(const std::string& old_path, const std::string& new_path,
               const Limits& limits) {
  testing::TempDir dir;
  const std::string patch_path = dir.File("patch");
  for (const Coding coding : {Coding::kModel, Coding::kZstd}) {
    MakeOptions options;
    options.coding = coding;
    ASSERT_OK_AND_ASSIGN(const MakeStats stats,
                         MakeDelta(options, old_path, new_path, patch_path));
    ASSERT_OK_AND_ASSIGN(const auto old_file, MappedFile::Open(old_path));
    ASSERT_OK_AND_ASSIGN(const auto new_file, MappedFile::Open(new_path));
    const int tried =
        CheckDamages({old_file->bytes(), new_file->bytes(), stats.new_sha256},
                     ReadFile(patch_path), limits);
    printf("%s, %s: %zu bytes of the header, %d of the body\n",
           new_path.c_str(), coding == Coding::kModel ? "model" : "zstd",
           kHeaderSize, tried);
  }
}

TEST(Damage, T31_OfPatchesOfCodeAndOfCompressedFileSystems) {
  testing::TempDir dir;
  std::mt19937_64 random(3);
  const std::string code = CodeLike(random, 40000);
  WriteFile(dir.File("code-old"), code);
  WriteFile(dir.File("code-new"), Mutate(random, code));
  CheckPair(dir.File("code-old"), dir.File("code-new"), {});
  // Expanded in the patch, compressed again by its reader.
  const std::string fixtures =
      testing::SourcePath("tests/unit/delta_image/fixtures/");
  for (const char* pair : {"gzip", "xz"}) {
    std::string image = ReadFile(fixtures + pair + ".squashfs");
    ASSERT_FALSE(image.empty());
    WriteFile(dir.File("fs-old"), image);
    WriteFile(dir.File("fs-new"), image.substr(0, 5000) + image);
    CheckPair(dir.File("fs-old"), dir.File("fs-new"), {});
  }
}

TEST(Damage, T31_OfPatchesOfTheCorpus) {
  const char* corpus = getenv("SHOAL_DELTA_CORPUS");
  if (corpus == nullptr) GTEST_SKIP() << "SHOAL_DELTA_CORPUS is not set";
  Limits limits{10000, 60};
  if (const char* damages = getenv("SHOAL_DELTA_DAMAGES"))
    limits.damages = atoi(damages);
  if (const char* seconds = getenv("SHOAL_DELTA_SECONDS"))
    limits.seconds = atof(seconds);
  int pairs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    const std::string old_path = entry.path() / "old";
    if (!std::filesystem::exists(old_path)) continue;
    SCOPED_TRACE(old_path);
    CheckPair(old_path, entry.path() / "new", limits);
    ++pairs;
  }
  EXPECT_GT(pairs, 0) << "no DIR/<pair>/{old,new} in " << corpus;
}

}  // namespace
}  // namespace shoal::delta
