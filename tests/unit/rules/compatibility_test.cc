#include "rules/compatibility.h"

#include <gtest/gtest.h>

#include "rules/way_back.h"

namespace shoal::rules {
namespace {

std::vector<std::string> Unmet(const ArtifactNeeds& needs,
                               const DeviceParts& parts) {
  std::vector<std::string> reasons;
  for (const Condition& one : FitConditions(needs, parts))
    if (one.state == Condition::State::kUnmet) reasons.push_back(one.reason);
  return reasons;
}

TEST(CompatibilityTest, AllNeedsAreMetOrTheImageIsNotTaken) {
  const std::vector<std::string> none;
  EXPECT_EQ(Unmet({}, {}), none);
  EXPECT_TRUE(FitConditions({}, {}).empty()) << "nothing was asked for";
  const ArtifactNeeds needs{{"rev-a", "rev-b"}, {{"modem", 3}, {"fpga", 1}}};
  EXPECT_EQ(Unmet(needs, {"rev-b", {{"modem", 3}, {"fpga", 9}}}), none);
  EXPECT_EQ(Unmet(needs, {"rev-c", {{"modem", 3}, {"fpga", 9}}}),
            std::vector<std::string>{"wrong_hardware"});
  EXPECT_EQ(Unmet(needs, {"", {{"modem", 3}, {"fpga", 9}}}),
            std::vector<std::string>{"wrong_hardware"});
  EXPECT_EQ(Unmet(needs, {"rev-a", {{"modem", 2}, {"fpga", 1}}}),
            std::vector<std::string>{"dependency_unmet"});
  EXPECT_EQ(Unmet(needs, {"rev-a", {{"modem", 3}}}),
            std::vector<std::string>{"dependency_unmet"})
      << "a component that the device does not have";
}

TEST(CompatibilityTest, T25_WhatComesWithTheImageCounts) {
  const std::vector<ReleaseArtifact> release = {
      {"image", 9, {{}, {{"modem", 3}}}},
      {"modem", 3, {{"rev-b"}, {{"image", 9}}}},
      {"fpga", 2, {{}, {{"modem", 99}}}}};
  const auto unmet = [&](const DeviceParts& parts) {
    int count = 0;
    for (const Condition& one : ReleaseConditions(parts, release))
      count += one.state == Condition::State::kUnmet ? 1 : 0;
    return count;
  };
  EXPECT_EQ(unmet({"rev-b", {{"modem", 2}}, {"modem"}}), 0);
  EXPECT_EQ(unmet({"rev-b", {{"modem", 2}}, {}}), 1) << "another's to install";
  EXPECT_EQ(unmet({"rev-a", {{"modem", 2}}, {"modem"}}), 1)
      << "firmware for other hardware does not come";
  EXPECT_EQ(unmet({"rev-b", {{"modem", 2}}, {"modem", "fpga"}}), 1)
      << "what comes has needs as well";
  EXPECT_EQ(PartsAfter({"rev-b", {{"modem", 7}}, {"modem"}}, release)
                .components.at("modem"),
            7u)
      << "a component goes forward only";
}

TEST(CompatibilityTest, WhatADeviceSaysOfItsPartsIsReadAsItWasTold) {
  const DeviceParts parts{"rev-b", {{"modem", 7}, {"fpga", 0}}, {"modem"}};
  std::map<std::string, std::string> inventory = {{"os", "debian 12"}};
  TellParts(parts, inventory);
  const DeviceParts read = ReadParts(inventory);
  EXPECT_EQ(read.hardware, parts.hardware);
  EXPECT_EQ(read.components, parts.components);
  EXPECT_EQ(read.installs, parts.installs);
  EXPECT_TRUE(ReadParts({{"component.modem", "seven"}, {"component.x", "-1"}})
                  .components.empty());
}

TEST(WayBackTest, EachDeviceGoesBackToItsOwnUnlessItsFloorForbids) {
  rollout::v1::RolloutDocument document;
  document.mutable_release()->set_sha256(std::string(32, 'd'));
  document.mutable_release()->set_counter(6);
  for (const uint64_t counter : {5u, 4u}) {
    auto* previous = document.add_previous();
    previous->set_sha256(std::string(32, static_cast<char>('0' + counter)));
    previous->set_counter(counter);
  }
  const auto goes_to = [&](const std::string& before, uint64_t floor) {
    return ReleaseFor(document, before, floor).counter();
  };
  EXPECT_EQ(goes_to(std::string(32, '4'), 0), 4u);
  EXPECT_EQ(goes_to(std::string(32, '5'), 5), 5u);
  EXPECT_EQ(goes_to(std::string(32, '4'), 5), 6u) << "below its floor";
  EXPECT_EQ(goes_to("", 0), 6u) << "it does not know";
  EXPECT_EQ(goes_to(std::string(32, 'x'), 0), 6u);
  EXPECT_TRUE(LeadsTo(document, std::string(32, '4')));
  EXPECT_TRUE(LeadsTo(document, std::string(32, 'd')));
  EXPECT_FALSE(LeadsTo(document, std::string(32, 'x')));
}

}  // namespace
}  // namespace shoal::rules
