// Make, then apply, is the identity: for random images and random edits of
// them. This binary runs a part of the seeds; delta_nightly runs all.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>

#include "tests/support/status_matchers.h"
#include "tests/unit/delta/delta_test_support.h"

#ifndef SHOAL_DELTA_SEEDS
#define SHOAL_DELTA_SEEDS 400
#endif

namespace shoal::delta {
namespace {

using ::shoal::testing::IsOk;

// One pair a seed; most are small, so that many kinds of edges are met.
void CheckSeed(uint64_t seed) {
  std::mt19937_64 random(seed);
  const size_t size = random() % (seed % 40 == 0 ? 300000 : 6000);
  const std::string old_image =
      random() % 4 ? CodeLike(random, size) : RandomBytes(random, size);
  std::string new_image = Mutate(random, old_image);
  if (random() % 8 == 0) new_image = Mutate(random, new_image);
  MakeOptions options = SmallOptions();
  options.threads = 1 + static_cast<int>(random() % 2);
  options.window_size = kMinWindowSize << (random() % 4);
  if (random() % 3 == 0) {
    options.coding = Coding::kModel;
    options.max_reader_memory = kDefaultMaxMemory;
  } else if (random() % 5 == 0) {
    options.format = Format::kBsdiff40;
  }
  ASSERT_OK_AND_ASSIGN(const std::string patch,
                       Make(old_image, new_image, options));
  ApplySetup setup;
  setup.patch_read_step = 1 + random() % 5000;
  setup.max_memory = 16u << 20;
  setup.expected_size = new_image.size();
  const Applied applied = Apply(old_image, patch, setup);
  ASSERT_THAT(applied.status, IsOk());
  ASSERT_TRUE(applied.written == new_image);
  if (applied.checkpoints.empty()) return;
  // And from one place in the middle.
  const auto& [written, state] =
      applied.checkpoints[random() % applied.checkpoints.size()];
  setup.resume_state = state;
  setup.already_written = new_image.substr(0, written);
  const Applied rest = Apply(old_image, patch, setup);
  ASSERT_THAT(rest.status, IsOk());
  ASSERT_TRUE(rest.written == new_image.substr(written));
}

TEST(Property, MakeThenApplyIsIdentity) {
  for (uint64_t seed = 0; seed < SHOAL_DELTA_SEEDS; ++seed) {
    SCOPED_TRACE(seed);
    CheckSeed(seed);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace shoal::delta
