// Patches that nobody's maker makes, and bases and results that do not fit.
#include <gtest/gtest.h>
#include <zstd.h>

#include <random>

#include "common/crypto/hash.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

struct Pair {
  std::string old_image, new_image, patch;
};

Pair MakePair(size_t size = 9000) {
  std::mt19937_64 random(42);
  Pair pair;
  pair.old_image = CodeLike(random, size);
  pair.new_image = pair.old_image;
  for (size_t i = 100; i < size; i += 700) pair.new_image[i] ^= 3;
  pair.new_image.insert(size / 2, RandomBytes(random, 700));
  auto patch = Make(pair.old_image, pair.new_image, SmallOptions());
  EXPECT_THAT(patch, IsOk());
  pair.patch = *patch;
  return pair;
}

TEST(HostilePatch, T30_WrongBaseIsRefusedBeforeTheFirstByte) {
  const Pair pair = MakePair();
  for (const size_t at : {size_t{0}, size_t{4500}, pair.old_image.size() - 1}) {
    std::string other = pair.old_image;
    other[at] ^= 1;
    const Applied applied = Apply(other, pair.patch);
    EXPECT_THAT(applied.status,
                Fails(absl::StatusCode::kFailedPrecondition, "wrong_base"));
    EXPECT_EQ(applied.written, "");
  }
  const Applied shorter =
      Apply(std::string_view(pair.old_image).substr(0, 8999), pair.patch);
  EXPECT_THAT(shorter.status, FailsBecause("wrong_base"));
  EXPECT_EQ(shorter.written, "");
  // A slot that is larger than the image in it is the right base.
  EXPECT_OK(Apply(pair.old_image + std::string(5000, 'z'), pair.patch).status);
}

TEST(HostilePatch, T31_TruncationAtEveryByte) {
  const Pair pair = MakePair();
  for (size_t n = 0; n < pair.patch.size(); ++n) {
    ApplySetup setup;
    setup.expected_size = pair.new_image.size();
    setup.expected_sha256 = crypto::Sha256Digest(pair.new_image);
    const Applied applied =
        Apply(pair.old_image, std::string_view(pair.patch).substr(0, n), setup);
    ASSERT_THAT(applied.status,
                Fails(absl::StatusCode::kDataLoss, "delta_truncated"))
        << n;
  }
  EXPECT_THAT(Apply(pair.old_image, pair.patch + "x").status,
              FailsBecause("delta_corrupt"));
}

TEST(HostilePatch, T31_EveryBitFlipIsNoticed) {
  const Pair pair = MakePair(3000);
  ApplySetup setup;
  setup.expected_size = pair.new_image.size();
  setup.expected_sha256 = crypto::Sha256Digest(pair.new_image);
  for (size_t bit = 0; bit < pair.patch.size() * 8; ++bit) {
    std::string damaged = pair.patch;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const Applied applied = Apply(pair.old_image, damaged, setup);
    ASSERT_FALSE(applied.status.ok()) << bit;
    const std::string reason = ReasonOf(applied.status);
    ASSERT_TRUE(reason == "delta_corrupt" || reason == "delta_truncated" ||
                reason == "delta_too_large" || reason == "unsupported_delta")
        << bit << " " << applied.status;
    ASSERT_LE(applied.written.size(), pair.new_image.size());
    if (bit < kHeaderSize * 8) {
      ASSERT_EQ(applied.written, "");
    }
  }
}

TEST(HostilePatch, T31_PatchOfLaterVersionsAreUnsupported) {
  const Pair pair = MakePair();
  std::string later = pair.patch;
  later[6] = 2;
  EXPECT_THAT(Apply(pair.old_image, later).status,
              Fails(absl::StatusCode::kUnimplemented, "unsupported_delta"));
  PatchBuilder codec(pair.old_image, pair.new_image);
  codec.header().coding = static_cast<Coding>(9);
  EXPECT_THAT(Apply(pair.old_image, codec.Build()).status,
              FailsBecause("unsupported_delta"));
}

TEST(HostilePatch, T31_ABombOfZerosStopsAtItsDeclaredSize) {
  // A section that says 1,000 bytes and decompresses to 60,000.
  const std::string zeros(60000, '\0');
  std::string packed(ZSTD_compressBound(zeros.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), zeros.data(),
                              zeros.size(), 19));
  WindowHeader window;
  window.new_size = 1000;
  const std::string control = Instruction(Op::kExtra, 1000);
  window.sections[kControl] = {control.size(), SectionCodec::kStored,
                               control.size()};
  window.sections[kExtra] = {1000, SectionCodec::kZstd, packed.size()};
  PatchBuilder builder("base", std::string(1000, '\0'));
  builder.AddRaw(window, control + packed);
  const Applied applied = Apply("base", builder.Build());
  EXPECT_THAT(applied.status, FailsBecause("delta_corrupt"));
  EXPECT_EQ(applied.written, "");
}

TEST(HostilePatch, T31_WindowLargerThanDeclaredIsRefusedBeforeItIsRead) {
  WindowHeader window;
  window.new_size = 10;
  window.sections[kControl] = {5000, SectionCodec::kZstd, 100};
  PatchBuilder builder("base", std::string(10, 'x'), kMinWindowSize);
  builder.AddRaw(window, std::string(100, 'a'));
  EXPECT_THAT(Apply("base", builder.Build()).status,
              FailsBecause("delta_corrupt"));
  // Three sections that only together are too large.
  for (SectionInfo& s : window.sections)
    s = {kMinWindowSize / 2, SectionCodec::kZstd, 10};
  PatchBuilder sum("base", std::string(10, 'x'), kMinWindowSize);
  sum.AddRaw(window, std::string(30, 'a'));
  EXPECT_THAT(Apply("base", sum.Build()).status, FailsBecause("delta_corrupt"));
  // 2^64 - 1 must not overflow the sum.
  window.sections[kDiff] = {~uint64_t{0}, SectionCodec::kStored, 0};
  PatchBuilder huge("base", std::string(10, 'x'), kMinWindowSize);
  huge.AddRaw(window, "");
  EXPECT_THAT(Apply("base", huge.Build()).status,
              FailsBecause("delta_corrupt"));
}

TEST(HostilePatch, T31_MemoryBeyondTheGrantIsRefusedFirst) {
  const std::string target(10, 'x');
  PatchBuilder builder("base", target, 32u << 20);
  builder.Add({10, Instruction(Op::kExtra, 10), "", target});
  const Applied applied = Apply("base", builder.Build());
  EXPECT_THAT(applied.status,
              Fails(absl::StatusCode::kResourceExhausted, "delta_memory"));
  ApplySetup setup;
  setup.max_memory = 128u << 20;
  EXPECT_OK(Apply("base", builder.Build(), setup).status);
  // A header that understates what its window needs.
  builder.header().reader_memory = 1000;
  EXPECT_THAT(Apply("base", builder.Build(), setup).status,
              FailsBecause("delta_corrupt"));
}

struct BadWindow {
  const char* what;
  PatchBuilder::Window window;
  const char* reason;
};

TEST(HostilePatch, T31_ImpossibleInstructions) {
  const std::string base = "0123456789";
  const std::string target = "0123456789abcdefghij";  // 20 bytes
  const auto op = Instruction;
  const std::string ten(10, '\0');
  const uint64_t kHuge = (uint64_t{1} << 62) - 1;
  std::string overlong = op(Op::kCopy, 10);
  overlong.back() = static_cast<char>(overlong.back() | 0x80);
  overlong.push_back('\0');
  const std::vector<BadWindow> cases = {
      {"copy beyond the base",
       {20, op(Op::kCopy, 11), "", ""},
       "delta_corrupt"},
      {"copy beyond the window",
       {5, op(Op::kCopy, 6), "", ""},
       "delta_too_large"},
      {"copy of 2^62", {20, op(Op::kCopy, kHuge), "", ""}, "delta_too_large"},
      {"seek before the base",
       {20, op(Op::kSeek, Zigzag(-1)), "", ""},
       "delta_corrupt"},
      {"seek behind the base",
       {20, op(Op::kSeek, Zigzag(11)), "", ""},
       "delta_corrupt"},
      {"seek far", {20, op(Op::kSeek, kHuge), "", ""}, "delta_corrupt"},
      {"seek far back",
       {20, op(Op::kSeek, kHuge - 1), "", ""},
       "delta_corrupt"},
      {"seek, then copy beyond",
       {20, op(Op::kSeek, Zigzag(8)) + op(Op::kCopy, 3), "", ""},
       "delta_corrupt"},
      {"add without diff", {20, op(Op::kAdd, 10), "", ""}, "delta_corrupt"},
      {"add with too little diff",
       {20, op(Op::kAdd, 10), "123", ""},
       "delta_corrupt"},
      {"extra without bytes",
       {20, op(Op::kExtra, 20), "", ""},
       "delta_corrupt"},
      {"extra beyond the window",
       {5, op(Op::kExtra, 20), "", ten + ten},
       "delta_too_large"},
      {"empty copy",
       {10, op(Op::kCopy, 0) + op(Op::kCopy, 10), "", ""},
       "delta_corrupt"},
      {"too few bytes made", {20, op(Op::kCopy, 10), "", ""}, "delta_corrupt"},
      {"left-over diff", {10, op(Op::kCopy, 10), "x", ""}, "delta_corrupt"},
      {"left-over extra", {10, op(Op::kCopy, 10), "", "x"}, "delta_corrupt"},
      {"no instructions", {20, "", "", ten + ten}, "delta_corrupt"},
      {"cut-off instruction", {20, "\x80", "", ""}, "delta_corrupt"},
      {"instruction not in shortest form",
       {10, overlong, "", ""},
       "delta_corrupt"},
      {"number of eleven bytes",
       {20, std::string(11, '\xff'), "", ""},
       "delta_corrupt"},
      {"window beyond the result",
       {21, op(Op::kCopy, 10), "", ""},
       "delta_too_large"},
      {"window that makes nothing", {0, "", "", ""}, "delta_corrupt"},
  };
  for (const BadWindow& bad : cases) {
    SCOPED_TRACE(bad.what);
    const Applied applied =
        Apply(base, PatchBuilder(base, target).Add(bad.window).Build());
    EXPECT_THAT(applied.status, FailsBecause(bad.reason));
    EXPECT_LE(applied.written.size(), target.size());
  }
  // The same tools make a right patch: the cases fail for the right cause.
  EXPECT_OK(Apply(base, PatchBuilder(base, target)
                            .Add({20, op(Op::kAdd, 10) + op(Op::kExtra, 10),
                                  ten, "abcdefghij"})
                            .Build())
                .status);
}

TEST(HostilePatch, T31_WindowsCannotBeMovedOrTakenFromAnotherPatch) {
  const std::string base = "0123456789";
  const auto patch = [&](std::string_view first, std::string_view second) {
    std::string target = std::string(first) + std::string(second);
    return PatchBuilder(base, target)
        .Add({4, Instruction(Op::kExtra, 4), "", std::string(first)})
        .Add({4, Instruction(Op::kExtra, 4), "", std::string(second)})
        .Build();
  };
  const std::string right = patch("aaaa", "bbbb");
  ASSERT_OK(Apply(base, right).status);
  const size_t window = (right.size() - kHeaderSize) / 2;
  const std::string swapped = right.substr(0, kHeaderSize) +
                              right.substr(kHeaderSize + window) +
                              right.substr(kHeaderSize, window);
  EXPECT_THAT(Apply(base, swapped).status, FailsBecause("delta_corrupt"));
  const std::string other = patch("cccc", "bbbb");
  EXPECT_THAT(
      Apply(base, right.substr(0, kHeaderSize) + other.substr(kHeaderSize))
          .status,
      FailsBecause("delta_corrupt"));
}

TEST(HostilePatch, T32_AResultWithAnotherDigestIsAnError) {
  // All checksums are right, only the bytes are not those that were signed.
  const std::string base = "0123456789", promised = "aaaaaaaaaa";
  const std::string patch =
      PatchBuilder(base, promised)
          .Add({10, Instruction(Op::kExtra, 10), "", "aaaaaaaaab"})
          .Build();
  EXPECT_THAT(Apply(base, patch).status,
              Fails(absl::StatusCode::kDataLoss, "wrong_result"));
}

TEST(HostilePatch, T32_AnotherResultThanTheSignedOneIsRefusedAtOnce) {
  const Pair pair = MakePair();
  ApplySetup setup;
  setup.expected_sha256 = crypto::Sha256Digest("another image");
  Applied applied = Apply(pair.old_image, pair.patch, setup);
  EXPECT_THAT(applied.status, FailsBecause("wrong_result"));
  EXPECT_EQ(applied.written, "");
  setup = {};
  setup.expected_size = pair.new_image.size() + 1;
  applied = Apply(pair.old_image, pair.patch, setup);
  EXPECT_THAT(applied.status, FailsBecause("wrong_result"));
  EXPECT_EQ(applied.written, "");
}

}  // namespace
}  // namespace shoal::delta
