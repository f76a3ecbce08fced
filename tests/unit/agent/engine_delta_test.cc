// An update by real deltas and the real shoal-patch.
#include <gtest/gtest.h>

#include <random>

#include "agent/patch/patch_runner.h"
#include "tests/support/process_harness.h"
#include "tests/unit/agent/engine_rig.h"
#include "tests/unit/delta/delta_test_support.h"
#include "tests/unit/delta/resealed_patch.h"

namespace shoal::agent {
namespace {

using testing::Rig;

Rig::Images WithDelta(std::string old_image, std::string new_image,
                      const delta::MakeOptions& options) {
  auto patch = delta::Make(old_image, new_image, options);
  EXPECT_OK(patch);
  return {std::move(old_image), std::move(new_image),
          patch.ok() ? *std::move(patch) : ""};
}

Rig::Images WithGzip() {
  std::mt19937_64 random(3);
  std::string content = delta::CodeLike(random, 60'000);
  const std::string old_image = "boot 1" + delta::Gzip(content);
  content.insert(30'000, "something new");
  return WithDelta(old_image, "boot 2" + delta::Gzip(content), {});
}

void UseShoalPatch(Rig& rig) {
  rig.real_patch_ = [](PatchJob job, const PatchProgress& progress) {
    job.program = shoal::testing::BinPath("shoal-patch");
    return RunPatch(job, progress);
  };
}

TEST(EngineDelta, CompressedContentIsMadeAgainByThisMachinesLibraries) {
  Rig rig(RealFileSystem(), WithGzip());
  UseShoalPatch(rig);
  rig.PowerOn();
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate(true)));
  rig.Live();
  EXPECT_TRUE(rig.RunningBytes() == rig.new_image_);
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_TRUE(rig.reports_[0].update.used_delta);
}

// What the index did not tell beforehand: the device's library is another one.
TEST(EngineDelta, ADeltaForAnotherLibraryIsLeftForTheFullImage) {
  Rig::Images images = WithGzip();
  delta::OpenPatch patch = delta::TakeApart(images.delta);
  const size_t version = patch.maps.find("zlib 1.");
  ASSERT_NE(version, std::string::npos);
  patch.maps[version + 5] = '9';
  images.delta = delta::Seal(patch);
  Rig rig(RealFileSystem(), std::move(images));
  UseShoalPatch(rig);
  rig.PowerOn();
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate(true)));
  rig.Live();
  EXPECT_TRUE(rig.RunningBytes() == rig.new_image_);
  ASSERT_EQ(rig.reports_.size(), 1u);
  const UpdateRecord& update = rig.reports_[0].update;
  EXPECT_EQ(update.result, UpdateResult::kSuccess);
  EXPECT_EQ(update.delta_failure, "codec_differs");
  EXPECT_FALSE(update.used_delta);
  EXPECT_EQ(rig.fetches_, 2) << "the delta, then the image";
  EXPECT_EQ(rig.patches_, 1);
}

// The power goes while a delta is applied: shoal-patch and the agent are gone
// between two states that were written down.
TEST(EngineDelta, GoesOnWhereThePowerWentAndNotFromTheBeginning) {
  std::mt19937_64 random(4);
  const std::string old_image = delta::RandomBytes(random, 40 << 20);
  std::string new_image = old_image;
  for (size_t i = 0; i < new_image.size(); i += 50'000) new_image[i] ^= 1;
  delta::MakeOptions options;
  options.coding = delta::Coding::kZstd;
  options.expand = false;
  Rig rig(RealFileSystem(), WithDelta(old_image, new_image, options));
  std::atomic<bool> power_goes = false;
  uint64_t kept = 0;  // bytes of which a state was written down
  uint64_t first = 0;
  rig.real_patch_ = [&](PatchJob job, const PatchProgress& progress) {
    job.program = shoal::testing::BinPath("shoal-patch");
    job.cancel = &power_goes;
    return RunPatch(job, [&](uint64_t written, const std::string& state) {
      if (first == 0) first = written;
      rig.clock_.Advance(absl::Seconds(3));
      progress(written, state);
      if (kept > 0 || state.empty()) return;
      kept = written;
      power_goes = true;
    });
  };
  rig.PowerOn();
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate(true)));
  rig.Live();
  ASSERT_GE(kept, uint64_t{8} << 20);
  ASSERT_TRUE(rig.state_->Get().update.has_value());
  EXPECT_FALSE(rig.state_->Get().update->resume_state.empty());

  power_goes = false;
  first = 0;
  rig.PowerOn();
  rig.Live();
  EXPECT_FALSE(rig.last_job_.resume_state.empty());
  EXPECT_GE(first, kept) << "nothing before was written again";
  EXPECT_EQ(rig.patches_, 2);
  EXPECT_TRUE(rig.RunningBytes() == new_image);
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_TRUE(rig.reports_[0].update.used_delta);
}

}  // namespace
}  // namespace shoal::agent
