// What applying takes, held against what the patch's header states: every
// allocation of the program is counted.
#include <gtest/gtest.h>

#include <random>

#include "common/crypto/hash.h"
#include "delta/apply/bsdiff40.h"
#include "delta/image/image_map.h"
#include "tests/support/counted_allocations.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/delta/delta_test_support.h"
#include "tests/unit/delta_image/image_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::AllocatedBytes;
using ::shoal::testing::AllocationCalls;
using ::shoal::testing::AllocationPeak;
using ::shoal::testing::FailAllocation;
using ::shoal::testing::FailsBecause;

// What the library's own objects are, which the 768 KiB of every patch hold.
// After the start: a digest's state and a text of a state to resume from.
constexpr size_t kSmall = 1024;

struct Images {
  std::string old_image, new_image, patch;
  MakeStats stats;
};

Images MakeImages(std::string old_image, std::string new_image,
                  const MakeOptions& options) {
  Images images{std::move(old_image), std::move(new_image), {}, {}};
  auto patch = Make(images.old_image, images.new_image, options, &images.stats);
  EXPECT_OK(patch);
  if (patch.ok()) images.patch = *std::move(patch);
  return images;
}

Images PlainImages(Coding coding) {
  std::mt19937_64 random(3);
  std::string old_image = CodeLike(random, 300000);
  std::string new_image = Mutate(random, old_image) + RandomBytes(random, 9000);
  MakeOptions options = SmallOptions();
  options.coding = coding;
  return MakeImages(std::move(old_image), std::move(new_image), options);
}

// Applies without an allocation of the test's own.
struct Application {
  explicit Application(const Images& images) : images_(images) {
    options_.read_patch = [this](char* buffer, size_t size) {
      const size_t n = std::min(size, images_.patch.size() - patch_at_);
      memcpy(buffer, images_.patch.data() + patch_at_, n);
      patch_at_ += n;
      return absl::StatusOr<size_t>(n);
    };
    options_.read_old = [this](uint64_t at, char* buffer, size_t size) {
      if (calls_before_ == 0) {
        calls_before_ = AllocationCalls();
        bytes_before_ = AllocatedBytes();
      }
      memcpy(buffer, images_.old_image.data() + at, size);
      return absl::OkStatus();
    };
    options_.write_new = [this](std::string_view bytes) {
      right_ = right_ && bytes == std::string_view(images_.new_image)
                                      .substr(written_, bytes.size());
      written_ += bytes.size();
      return absl::OkStatus();
    };
    options_.old_size = images.old_image.size();
    options_.expected_size = images.new_image.size();
    options_.expected_sha256 = crypto::Sha256Digest(images.new_image);
    options_.max_memory = images.stats.reader_memory;
  }
  absl::Status Apply() {
    auto applier = Applier::Create(std::move(options_));
    if (!applier.ok()) return applier.status();
    const absl::Status status = (*applier)->Run();
    calls_after_ = AllocationCalls();
    bytes_after_ = AllocatedBytes();
    return status;
  }
  bool Right() const { return right_ && written_ == images_.new_image.size(); }

  const Images& images_;
  ApplyOptions options_;
  size_t patch_at_ = 0, written_ = 0;
  bool right_ = true;
  // At the first read of the base, which is the end of the start.
  size_t calls_before_ = 0, bytes_before_ = 0;
  size_t calls_after_ = 0, bytes_after_ = 0;
};

class PlainMemory : public ::testing::TestWithParam<Coding> {};

TEST_P(PlainMemory, AllIsTakenAtTheStart) {
  const Images images = PlainImages(GetParam());
  {
    EXPECT_OK(Application(images).Apply());
  }  // libraries are set up at first use
  Application run(images);
  const AllocationPeak whole;
  ASSERT_OK(run.Apply());
  EXPECT_TRUE(run.Right());
  EXPECT_LE(whole.bytes(), images.stats.reader_memory);
  if (SHOAL_COUNTED) {
    EXPECT_GT(run.bytes_before_, 0u);
    EXPECT_LE(run.bytes_after_, run.bytes_before_) << "nothing is kept";
  }
}

// What is taken later is small and given back at once, whatever the patch is.
TEST_P(PlainMemory, AfterTheStartThereAreOnlyDigests) {
  const Images images = PlainImages(GetParam());
  { EXPECT_OK(Application(images).Apply()); }
  Application run(images);
  std::optional<AllocationPeak> after;
  run.options_.read_old = [&, first = run.options_.read_old](
                              uint64_t at, char* buffer, size_t size) {
    if (!after) after.emplace();
    return first(at, buffer, size);
  };
  size_t states = 0;
  run.options_.checkpoint = [&](uint64_t, const std::string& state) {
    states += state.empty() ? 0 : 1;
    return absl::OkStatus();
  };
  ASSERT_OK(run.Apply());
  EXPECT_GT(states, 1u);
  ASSERT_TRUE(after.has_value());
  EXPECT_LE(after->bytes(), kSmall);
}

// An allocation that finds no memory, each in turn, ends with an error or is
// not needed: no exception leaves the library.
TEST_P(PlainMemory, NothingThrowsWhenThereIsNoMemory) {
  if (!SHOAL_COUNTED) GTEST_SKIP() << "a sanitizer allocates";
  const Images images = PlainImages(GetParam());
  { EXPECT_OK(Application(images).Apply()); }
  size_t failures = 0;
  for (size_t n = 1;; ++n) {
    Application run(images);
    FailAllocation(n);
    const absl::Status status = run.Apply();
    FailAllocation(0);
    if (status.ok()) {
      EXPECT_TRUE(run.Right());
      if (n > 200) break;
      continue;
    }
    ++failures;
    ASSERT_THAT(status, testing::FailsBecause("delta_memory")) << n;
  }
  EXPECT_GT(failures, 5u);
}

INSTANTIATE_TEST_SUITE_P(Codings, PlainMemory,
                         ::testing::Values(Coding::kZstd, Coding::kModel));

TEST(ImageMemory, EachKindOfLayerTakesNoMoreThanStated) {
  std::mt19937_64 random(4);
  const std::string content = WordsAndNoise(random, 300000);
  std::string edited = content;
  for (size_t i = 1000; i < edited.size(); i += 20000) edited[i] ^= 3;
  edited.insert(90000, "a piece that is new");
  const auto zstd = [](int level) {
    return CodecSetting{.codec = ImageCodec::kZstd,
                        .level = static_cast<uint8_t>(level)};
  };
  struct Kind {
    const char* name;
    std::function<std::string(const std::string&)> write;
  };
  const std::vector<Kind> kinds = {
      {"gzip", [](const std::string& raw) { return GzipMember(raw, 9); }},
      {"gzip in passing",
       [](const std::string& raw) {
         return GzipMember(raw + raw + raw + raw, 6);
       }},
      {"xz",
       [](const std::string& raw) {
         return Compress(OneCallXz(1 << 18), raw);
       }},
      {"zstd", [&](const std::string& raw) { return Compress(zstd(19), raw); }},
      {"lz4", [](const std::string& raw) { return Lz4Legacy(raw + raw, 9); }},
      {"nested",
       [&](const std::string& raw) {
         return GzipMember("in" + Compress(zstd(5), raw), 6);
       }},
  };
  const std::string same = GzipMember(content.substr(0, 3000), 9);
  for (const Coding coding : {Coding::kZstd, Coding::kModel}) {
    for (const Kind& kind : kinds) {
      SCOPED_TRACE(kind.name);
      MakeOptions options;
      options.coding = coding;
      options.max_reader_memory = 32u << 20;
      const Images images =
          MakeImages("boot 1" + kind.write(content) + same,
                     "boot version 2" + kind.write(edited) + same, options);
      EXPECT_FALSE(images.stats.codecs.empty());
      Application run(images);
      const AllocationPeak whole;
      ASSERT_OK(run.Apply());
      EXPECT_TRUE(run.Right());
      EXPECT_LE(whole.bytes(), images.stats.reader_memory);
    }
  }
}

TEST(ImageMemory, SquashfsTakesNoMoreThanStated) {
  const auto fixture = [](const std::string& kind) {
    return ReadFile(testing::SourcePath("tests/unit/delta_image/fixtures/" +
                                        kind + ".squashfs"));
  };
  for (const char* kind : {"gzip", "xz", "zstd", "lz4"}) {
    SCOPED_TRACE(kind);
    MakeOptions options;
    options.max_reader_memory = 32u << 20;
    const std::string from = std::string(kind) == "gzip" ? "zstd" : "gzip";
    const Images images = MakeImages(fixture(from), fixture(kind), options);
    EXPECT_FALSE(images.stats.codecs.empty());
    Application run(images);
    const AllocationPeak whole;
    ASSERT_OK(run.Apply());
    EXPECT_TRUE(run.Right());
    EXPECT_LE(whole.bytes(), images.stats.reader_memory);
  }
}

TEST(BsdiffMemory, TakesNoMoreThanStated) {
  std::mt19937_64 random(5);
  const std::string old_image = CodeLike(random, 3000000);
  MakeOptions options = SmallOptions();
  options.format = Format::kBsdiff40;
  const Images images =
      MakeImages(old_image, Mutate(random, old_image), options);
  Bsdiff40Options apply;
  size_t written = 0;
  bool right = true;
  apply.read_patch = [&](uint64_t at, char* buffer, size_t size) {
    memcpy(buffer, images.patch.data() + at, size);
    return absl::OkStatus();
  };
  apply.patch_size = images.patch.size();
  apply.read_old = [&](uint64_t at, char* buffer, size_t size) {
    memcpy(buffer, images.old_image.data() + at, size);
    return absl::OkStatus();
  };
  apply.old_size = images.old_image.size();
  apply.write_new = [&](std::string_view bytes) {
    right =
        right &&
        bytes ==
            std::string_view(images.new_image).substr(written, bytes.size());
    written += bytes.size();
    return absl::OkStatus();
  };
  apply.expected_size = images.new_image.size();
  const AllocationPeak whole;
  ASSERT_OK(ApplyBsdiff40(apply));
  EXPECT_LE(whole.bytes(), kBsdiff40Memory);
  EXPECT_TRUE(right && written == images.new_image.size());
  if (!SHOAL_COUNTED) return;
  size_t failures = 0;
  for (size_t n = 1; n < 40; ++n) {
    written = 0;
    FailAllocation(n);
    const absl::Status status = ApplyBsdiff40(apply);
    FailAllocation(0);
    if (status.ok()) continue;
    ++failures;
    ASSERT_THAT(status, testing::FailsBecause("delta_memory")) << n;
  }
  EXPECT_GT(failures, 3u);
}

}  // namespace
}  // namespace shoal::delta
