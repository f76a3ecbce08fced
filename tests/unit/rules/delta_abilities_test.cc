// What devices say of deltas, and what the plane makes of it.
#include "rules/delta_abilities.h"

#include <gtest/gtest.h>

namespace shoal::rules {
namespace {

constexpr uint64_t kMiB = 1u << 20;
// Of the maker.
const DeltaTools kOwn{
    3, {"zlib 1.2.13", "liblzma 5.4.1", "zstd 1.5.4", "lz4 1.9.4"}};
const DeltaTools kNone;

std::optional<DeltaDemand> Demand(const std::vector<DeltaAbilities>& devices) {
  return DemandOf(devices, kOwn);
}

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
  EXPECT_FALSE(Demand(std::vector<DeltaAbilities>{}));
  const DeltaAbilities silent;
  EXPECT_FALSE(Demand({silent})->memory);
  const DeltaAbilities large{true, true, 24 * kMiB},
      small{true, true, 4 * kMiB};
  EXPECT_FALSE(Demand({large, silent})->memory);
  EXPECT_EQ(Demand({large, small, silent})->memory, 4 * kMiB);
  EXPECT_EQ(Demand({large, small})->format, kSdelta1);
  EXPECT_TRUE(Demand({small})->Serves("sdelta1", 4 * kMiB, kNone));
  EXPECT_FALSE(Demand({small})->Serves("sdelta1", 4 * kMiB + 1, kNone));
  EXPECT_FALSE(Demand({small})->Serves("bsdiff40", kMiB, kNone));
}

TEST(DeltaAbilities, OneDeviceAmongManyCannotMakeEverybodysDeltaLarge) {
  std::vector<DeltaAbilities> fleet(20, {true, true, 8 * kMiB});
  fleet.push_back({true, false, 1});
  fleet.push_back({false, true, 8 * kMiB});
  EXPECT_EQ(Demand(fleet)->memory, 8 * kMiB);
  EXPECT_EQ(Demand(fleet)->format, kSdelta1);
  // Alone it gets what the smallest delta takes.
  EXPECT_EQ(Demand(std::vector<DeltaAbilities>{{true, false, 1}})->memory,
            kMiB);
}

TEST(DeltaAbilities, ToolsThatAreToldAreRead) {
  DeltaAbilities abilities;
  abilities.tools = kOwn;
  abilities.tools.codecs.insert("lz4 1.9.4 (64 bit)");
  std::map<std::string, std::string> inventory;
  TellDeltaAbilities(abilities, inventory);
  EXPECT_EQ(inventory["delta.liblzma"], "5.4.1");
  EXPECT_EQ(ReadDeltaAbilities(inventory).tools, abilities.tools);
  for (const char* model : {"", "-1", "3a", "99999999999"})
    EXPECT_EQ(ReadDeltaAbilities({{"delta.model", model}}).tools, kNone)
        << model;
}

TEST(DeltaAbilities, WhatATenthOfTheDevicesLacksIsLeftOut) {
  const auto device = [](DeltaTools tools) {
    return DeltaAbilities{true, true, 8 * kMiB, std::move(tools)};
  };
  DeltaTools other_zlib = kOwn, other_model = kOwn;
  other_zlib.codecs.erase("zlib 1.2.13");
  other_zlib.codecs.insert("zlib 1.3.1");
  other_model.model = 2;
  std::vector<DeltaAbilities> fleet(30, device(kOwn));
  EXPECT_EQ(Demand(fleet)->tools, kOwn);
  fleet.resize(33, device(other_zlib));
  EXPECT_EQ(Demand(fleet)->tools, kOwn) << "3 of 33 refuse and do without";
  fleet.resize(34, device(other_zlib));
  DeltaTools left = kOwn;
  left.codecs.erase("zlib 1.2.13");
  EXPECT_EQ(Demand(fleet)->tools, left);
  // Beside 4 with another zlib, 3 with another model are not more than a tenth.
  fleet.resize(37, device(other_model));
  EXPECT_EQ(Demand(fleet)->tools, left);
  fleet.resize(39, device(other_model));
  left.model = 0;
  EXPECT_EQ(Demand(fleet)->tools, left);
}

TEST(DeltaAbilities, DevicesThatTellNoToolsGetWhatNeedsNone) {
  const DeltaAbilities silent{true, false, {}};
  EXPECT_EQ(Demand({silent})->tools, kNone);
  EXPECT_TRUE(Demand({silent})->Serves("sdelta1", kMiB, kNone));
  EXPECT_FALSE(Demand({silent})->Serves("sdelta1", kMiB, DeltaTools{3, {}}));
}

TEST(DeltaAbilities, ADeltaOfOtherToolsThanTheMakersIsMadeAgain) {
  const DeltaAbilities device{true, true, 8 * kMiB, kOwn};
  const auto serves = [&](const std::optional<DeltaTools>& needs) {
    return Demand({device})->Serves("sdelta1", kMiB, needs);
  };
  EXPECT_TRUE(serves(kOwn));
  EXPECT_TRUE(serves(kNone));
  EXPECT_FALSE(serves(DeltaTools{2, {}}));
  EXPECT_FALSE(serves(DeltaTools{0, {"zlib 1.2.11"}}));
  EXPECT_FALSE(serves(std::nullopt)) << "of a plane that did not note it";
}

TEST(DeltaAbilities, TheClassicFormatIsForFleetsThatHaveNoOther) {
  const DeltaAbilities classic{false, true, 8 * kMiB}, none{false, false, {}};
  EXPECT_EQ(Demand({classic})->format, kBsdiff40);
  EXPECT_EQ(Demand({classic, none})->format, kBsdiff40);
  EXPECT_EQ(Demand({classic, {}})->format, kSdelta1);
  EXPECT_FALSE(Demand({none}));
}

}  // namespace
}  // namespace shoal::rules
