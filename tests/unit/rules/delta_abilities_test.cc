// What devices say of deltas, and what the plane makes of it.
#include "rules/delta_abilities.h"

#include <gtest/gtest.h>

namespace shoal::rules {
namespace {

constexpr uint64_t kMiB = 1u << 20;

TEST(DeltaAbilities, WhatIsToldIsRead) {
  for (const bool sdelta : {false, true}) {
    for (const bool bsdiff : {false, true}) {
      std::map<std::string, std::string> inventory = {{"os", "Linux"}};
      TellDeltaAbilities({sdelta, bsdiff, 5 * kMiB}, inventory);
      const DeltaAbilities read = ReadDeltaAbilities(inventory);
      EXPECT_EQ(read.sdelta1, sdelta);
      EXPECT_EQ(read.bsdiff40, bsdiff);
      EXPECT_EQ(read.memory, 5 * kMiB);
    }
  }
}

TEST(DeltaAbilities, SilenceAndNonsenseAreAsOfAnOldAgent) {
  EXPECT_TRUE(ReadDeltaAbilities({}).sdelta1);
  EXPECT_FALSE(ReadDeltaAbilities({}).bsdiff40);
  EXPECT_FALSE(ReadDeltaAbilities({}).memory);
  for (const char* memory : {"", "-1", "much", "99999999999999999999999"})
    EXPECT_FALSE(ReadDeltaAbilities({{"delta.memory", memory}}).memory)
        << memory;
  const auto strange = ReadDeltaAbilities({{"delta.formats", "sdelta9  x"}});
  EXPECT_FALSE(strange.sdelta1);
  EXPECT_FALSE(strange.bsdiff40);
}

TEST(DeltaAbilities, TheDemandIsWhatNearlyAllCanTake) {
  EXPECT_FALSE(DemandOf(std::vector<DeltaAbilities>{}));
  const DeltaAbilities silent;
  EXPECT_FALSE(DemandOf({silent})->memory);
  const DeltaAbilities large{true, true, 24 * kMiB},
      small{true, true, 4 * kMiB};
  EXPECT_FALSE(DemandOf({large, silent})->memory);
  EXPECT_EQ(DemandOf({large, small, silent})->memory, 4 * kMiB);
  EXPECT_EQ(DemandOf({large, small})->format, kSdelta1);
  EXPECT_TRUE(DemandOf({small})->Serves("sdelta1", 4 * kMiB));
  EXPECT_FALSE(DemandOf({small})->Serves("sdelta1", 4 * kMiB + 1));
  EXPECT_FALSE(DemandOf({small})->Serves("bsdiff40", kMiB));
}

TEST(DeltaAbilities, OneDeviceAmongManyCannotMakeEverybodysDeltaLarge) {
  std::vector<DeltaAbilities> fleet(20, {true, true, 8 * kMiB});
  fleet.push_back({true, false, 1});
  fleet.push_back({false, true, 8 * kMiB});
  EXPECT_EQ(DemandOf(fleet)->memory, 8 * kMiB);
  EXPECT_EQ(DemandOf(fleet)->format, kSdelta1);
  // Alone it gets what the smallest delta takes.
  EXPECT_EQ(DemandOf(std::vector<DeltaAbilities>{{true, false, 1}})->memory,
            kMiB);
}

TEST(DeltaAbilities, TheClassicFormatIsForFleetsThatHaveNoOther) {
  const DeltaAbilities classic{false, true, 8 * kMiB}, none{false, false, {}};
  EXPECT_EQ(DemandOf({classic})->format, kBsdiff40);
  EXPECT_EQ(DemandOf({classic, none})->format, kBsdiff40);
  EXPECT_EQ(DemandOf({classic, {}})->format, kSdelta1);
  EXPECT_FALSE(DemandOf({none}));
}

}  // namespace
}  // namespace shoal::rules
