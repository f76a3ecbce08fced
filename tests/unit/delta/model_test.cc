// Patches that the context model codes: resuming within a group, and groups
// that no maker writes.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "common/crypto/hash.h"
#include "delta/apply/model_numbers.h"
#include "delta/entropy/mix_coder.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

MakeOptions ModelOptions() {
  MakeOptions options = SmallOptions();
  options.coding = Coding::kModel;
  options.max_reader_memory = kDefaultMaxMemory;
  return options;
}

struct Pair {
  std::string old_image, new_image, patch;
};

Pair MakePair(size_t size) {
  std::mt19937_64 random(42);
  Pair pair;
  pair.old_image = CodeLike(random, size);
  pair.new_image = pair.old_image;
  for (size_t i = 100; i < size; i += 300) pair.new_image[i] ^= 3;
  pair.new_image.insert(size / 2, RandomBytes(random, size / 10));
  auto patch = Make(pair.old_image, pair.new_image, ModelOptions());
  EXPECT_THAT(patch, IsOk());
  pair.patch = *patch;
  EXPECT_EQ(ParseHeader(pair.patch)->coding, Coding::kModel);
  return pair;
}

TEST(Model, ResumesAtEveryWindowWithWritesSuppressed) {
  const Pair pair = MakePair(60000);
  const Applied whole = Apply(pair.old_image, pair.patch);
  ASSERT_THAT(whole.status, IsOk());
  ASSERT_TRUE(whole.written == pair.new_image);
  ASSERT_GT(whole.checkpoints.size(), 5u);
  for (const auto& [written, state] : whole.checkpoints) {
    EXPECT_LT(state.size(), 100u);
    ApplySetup setup;
    setup.resume_state = state;
    setup.already_written = pair.new_image.substr(0, written) + "garbage";
    const Applied rest = Apply(pair.old_image, pair.patch, setup);
    ASSERT_THAT(rest.status, IsOk());
    ASSERT_TRUE(rest.written == pair.new_image.substr(written));
    // Interrupted again: the states of the second run are as good.
    if (written == pair.new_image.size()) continue;
    ASSERT_FALSE(rest.checkpoints.empty());
    const auto& [again, second] = rest.checkpoints.back();
    setup.resume_state = second;
    setup.already_written = pair.new_image.substr(0, again);
    EXPECT_OK(Apply(pair.old_image, pair.patch, setup).status);
  }
}

TEST(Model, T31_EveryHeaderByteAndRandomBodyBytes) {
  const Pair pair = MakePair(8000);
  ApplySetup setup;
  setup.expected_size = pair.new_image.size();
  setup.expected_sha256 = crypto::Sha256Digest(pair.new_image);
  std::mt19937_64 random(7);
  for (size_t i = 0; i < kHeaderSize + 300; ++i) {
    const size_t at = i < kHeaderSize ? i : random() % pair.patch.size();
    std::string damaged = pair.patch;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 + random() % 255));
    const Applied applied = Apply(pair.old_image, damaged, setup);
    ASSERT_FALSE(applied.status.ok()) << at;
    ASSERT_LE(applied.written.size(), pair.new_image.size());
    if (at < kHeaderSize) {
      ASSERT_EQ(applied.written, "");
    }
  }
}

TEST(Model, T31_MemoryIsDeclaredAndRefusedFirst) {
  const Pair pair = MakePair(5000);
  const Header header = *ParseHeader(pair.patch);
  EXPECT_GE(header.reader_memory,
            ReaderMemory(header) + MixMemory(header.model_level));
  ApplySetup setup;
  setup.max_memory = header.reader_memory - 1;
  const Applied applied = Apply(pair.old_image, pair.patch, setup);
  EXPECT_THAT(applied.status, FailsBecause("delta_memory"));
  EXPECT_EQ(applied.written, "");
  // The maker goes by what the device has: a smaller model, then none.
  MakeOptions options = ModelOptions();
  for (const uint64_t memory : {4u << 20, 1u << 20}) {
    options.max_reader_memory = memory;
    ASSERT_OK_AND_ASSIGN(const std::string patch,
                         Make(pair.old_image, pair.new_image, options));
    EXPECT_LE(ParseHeader(patch)->reader_memory, memory);
    setup.max_memory = memory;
    EXPECT_OK(Apply(pair.old_image, patch, setup).status);
  }
  options.max_reader_memory = 1000;
  EXPECT_THAT(Make(pair.old_image, pair.new_image, options).status(),
              FailsBecause("bad_argument"));
}

// Repeats of 12 bytes all over new bytes, as in LZ4's blocks: nothing that the
// model sees, so zstd codes them.
TEST(Model, IsNotTakenForWhatZstdMakesSmaller) {
  std::mt19937_64 random(7);
  const std::string words = RandomBytes(random, 20000);
  std::string image;
  while (image.size() < 300000)
    image += words.substr(random() % (words.size() - 12), 12);
  MakeOptions options = ModelOptions();
  ASSERT_OK_AND_ASSIGN(const std::string modelled, Make("", image, options));
  options.coding = Coding::kZstd;
  ASSERT_OK_AND_ASSIGN(const std::string zstd, Make("", image, options));
  EXPECT_LE(modelled.size(), zstd.size());
  const Applied applied = Apply("", modelled, {});
  EXPECT_OK(applied.status);
  EXPECT_EQ(applied.written, image);
}

// Groups by hand: operations, then one window of content for all.
class GroupBuilder {
 public:
  GroupBuilder(std::string_view old_image, std::string_view new_image)
      : builder_(old_image, new_image, kMinWindowSize),
        model_(*MixEncoder::Create(kMinMixLevel)) {
    Header& header = builder_.header();
    header.coding = Coding::kModel;
    header.model_version = kModelVersion;
    header.model_level = kMinMixLevel;
    header.group_log2 = kMinGroupLog2;
    header.reader_memory =
        static_cast<uint32_t>(ReaderMemory(header) + MixMemory(kMinMixLevel));
  }
  Header& header() { return builder_.header(); }
  GroupBuilder& Operations(uint64_t new_size,
                           const std::vector<Operation>& operations,
                           std::optional<uint64_t> count = std::nullopt) {
    model_->Reset();
    uint64_t at = 0;
    for (const Operation& o : operations) {
      model_->Number(NumberKind::kOperation, static_cast<uint64_t>(o.kind));
      model_->Number(LengthKind(o.kind), o.size);
      if (o.kind != OperationKind::kInsert) {
        model_->Place(at, o.old_at);
        model_->Moved(o.old_at, at, o.size);
      }
      at += o.size;
    }
    return Add(WindowKind::kOperations, new_size,
               count.value_or(operations.size()));
  }
  GroupBuilder& Inserts(uint64_t new_size, std::string_view bytes) {
    if (!bytes.empty())
      model_->Insert(
          {}, 0,
          {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    return Add(WindowKind::kContent, new_size, 0);
  }
  std::string Build() const { return builder_.Build(); }

 private:
  GroupBuilder& Add(WindowKind kind, uint64_t new_size, uint64_t count) {
    const std::string coded = model_->EndWindow();
    WindowHeader window;
    window.kind = kind;
    window.new_size = new_size;
    window.operations = count;
    window.coded_size = coded.size();
    builder_.AddRaw(window, coded);
    return *this;
  }
  PatchBuilder builder_;
  std::unique_ptr<MixEncoder> model_;
};

TEST(Model, T31_GroupsThatNobodyMakes) {
  const std::string base = "0123456789", target = base + "abcde";
  using K = OperationKind;
  const Operation copy{K::kCopy, 10, 0}, insert{K::kInsert, 5, 0};
  const auto group = [&] { return GroupBuilder(base, target); };
  const auto apply = [&](const GroupBuilder& g) {
    const Applied applied = Apply(base, g.Build());
    EXPECT_LE(applied.written.size(), target.size());
    return applied.status;
  };
  const uint64_t kHuge = uint64_t{1} << 62;
  EXPECT_THAT(apply(group().Operations(15, {{K::kCopy, 11, 0}, insert})),
              FailsBecause("delta_corrupt"));
  EXPECT_THAT(apply(group().Operations(15, {{K::kCopy, 10, 1}, insert})),
              FailsBecause("delta_corrupt"));
  EXPECT_THAT(apply(group().Operations(15, {{K::kAdd, 10, kHuge}, insert})),
              FailsBecause("delta_corrupt"));
  EXPECT_THAT(apply(group().Operations(15, {{K::kInsert, kHuge, 0}})),
              FailsBecause("delta_too_large"));
  EXPECT_THAT(apply(group().Operations(15, {{K::kInsert, 0, 0}})),
              FailsBecause("delta_corrupt"));
  EXPECT_THAT(apply(group().Operations(15, {copy})),
              FailsBecause("delta_corrupt"));
  EXPECT_THAT(apply(group().Operations(16, {copy, {K::kInsert, 6, 0}})),
              FailsBecause("delta_too_large"));
  // More operations than the header grants memory for.
  EXPECT_THAT(apply(group().Operations(
                  15, std::vector<Operation>(15, {K::kInsert, 1, 0}), 17)),
              FailsBecause("delta_corrupt"));
  EXPECT_THAT(apply(group().Inserts(15, target)),
              FailsBecause("delta_corrupt"));
  EXPECT_THAT(
      apply(group().Operations(15, {copy, insert}).Operations(15, {copy})),
      FailsBecause("delta_corrupt"));
  EXPECT_THAT(apply(group().Operations(15, {copy, insert})),
              FailsBecause("delta_truncated"));
  GroupBuilder version = group();
  version.header().model_version = 9;
  EXPECT_THAT(apply(version), FailsBecause("unsupported_delta"));
  GroupBuilder level = group();
  level.header().model_level = 9;
  EXPECT_THAT(apply(level), FailsBecause("unsupported_delta"));
  GroupBuilder log2 = group();
  log2.header().group_log2 = 60;
  EXPECT_THAT(apply(log2), FailsBecause("delta_corrupt"));
}

}  // namespace
}  // namespace shoal::delta
