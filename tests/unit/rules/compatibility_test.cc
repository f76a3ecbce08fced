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

TEST(CompatibilityTest, WhatADeviceSaysOfItsPartsIsReadAsItWasTold) {
  const DeviceParts parts{"rev-b", {{"modem", 7}, {"fpga", 0}}};
  std::map<std::string, std::string> inventory = {{"os", "debian 12"}};
  TellParts(parts, inventory);
  const DeviceParts read = ReadParts(inventory);
  EXPECT_EQ(read.hardware, parts.hardware);
  EXPECT_EQ(read.components, parts.components);
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
