// Whatever the order of outcomes, restarts, halts and clock jumps: no phase
// opens early, no device counts twice, no halt is lost, and two documents with
// one version halt. The checks are in rollout_model.h.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/rules/rollout_model.h"

namespace shoal::rules {
namespace {

TEST(RolloutProperty, T28_T29_EveryRandomInterleaving) {
  uint64_t starts = 0, openings = 0, unattended = 0;
  for (uint32_t seed = 0; seed < 300 && !::testing::Test::HasFailure();
       ++seed) {
    std::mt19937 random(seed);
    const auto choose = [&](uint32_t n) {
      return n == 0 ? 0 : static_cast<uint32_t>(random() % n);
    };
    ModelOptions options;
    options.devices = 3 + static_cast<int>(choose(5));
    options.phases = 2 + static_cast<int>(choose(2));
    options.unattended = choose(4) != 0;
    options.threshold_permille = 300 + 200 * choose(3);
    for (int i = 0; i < options.devices; ++i)
      options.phase_of.push_back(
          i < options.phases ? i
                             : static_cast<int>(choose(
                                   static_cast<uint32_t>(options.phases))));
    RolloutModel model(options, choose);
    SCOPED_TRACE(seed);
    // Halts and conflicts are rare, or nothing would ever happen.
    for (int step = 0; step < 200; ++step) {
      uint32_t action = choose(RolloutModel::kActions);
      if ((action == 5 || action == 9) && choose(20) != 0) action = 2;
      model.Act(action);
    }
    starts += model.starts();
    openings += model.openings();
    unattended += model.unattended_starts();
  }
  // The model must have done what it is about.
  EXPECT_GT(starts, 100u);
  EXPECT_GT(openings, 50u);
  EXPECT_GT(unattended, 20u);
}

// All sequences of six actions at two devices in two phases, each choice
// being the first or the last one.
TEST(RolloutProperty, T28_T29_EverySmallInterleaving) {
  uint64_t starts = 0, openings = 0;
  constexpr uint32_t kActions[] = {0, 1, 2, 3, 4, 5};
  constexpr int kDepth = 6;
  for (uint32_t word = 0; word < 46'656; ++word) {  // 6^6
    ModelOptions options;
    options.devices = 2;
    options.phases = 2;
    options.phase_of = {0, 1};
    uint32_t turn = word;
    // Devices take turns; what may be read is read.
    RolloutModel model(options, [&turn](uint32_t n) {
      return n == 0 ? 0 : n == 2 ? (turn++ % 2) : n - 1;
    });
    model.Act(1);
    model.Act(1);
    uint32_t rest = word;
    for (int i = 0; i < kDepth; ++i, rest /= 6) model.Act(kActions[rest % 6]);
    starts += model.starts();
    openings += model.openings();
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << "sequence " << word;
      return;
    }
  }
  EXPECT_GT(starts, 100u);
  EXPECT_GT(openings, 0u);
}

TEST(Seen, T28_OfTwoDocumentsWithOneVersionTheFirstStaysAndHalts) {
  SeenVersion seen;
  EXPECT_EQ(Note(seen, 3, "a"), SeenAnswer::kNewer);
  EXPECT_EQ(Note(seen, 3, "a"), SeenAnswer::kSame);
  EXPECT_EQ(Note(seen, 2, "b"), SeenAnswer::kOlder);
  EXPECT_EQ(Note(seen, 3, "b"), SeenAnswer::kConflict);
  EXPECT_TRUE(seen.conflict);
  EXPECT_EQ(seen.digest, "a");
  EXPECT_EQ(Note(seen, 4, "c"), SeenAnswer::kNewer);
  EXPECT_FALSE(seen.conflict);
}

}  // namespace
}  // namespace shoal::rules
