#include "rules/selector.h"

#include <gtest/gtest.h>

#include "shoal/policy/v1/policy.pb.h"
#include "tests/support/status_matchers.h"

namespace shoal::rules {
namespace {

using policy::v1::DeviceSelector;
using policy::v1::TimeWindow;
using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

DeviceFacts Device() {
  return {std::string(16, '\x01'), "gateway", {{"site", "north"}}};
}

TEST(Selector, EmptySelectsNothing) {
  EXPECT_FALSE(Matches(DeviceSelector(), Device()));
}

TEST(Selector, AllSelectsEveryDevice) {
  DeviceSelector selector;
  selector.set_all(true);
  EXPECT_TRUE(Matches(selector, Device()));
}

TEST(Selector, EverythingGivenMustHold) {
  DeviceSelector selector;
  selector.add_device_types("gateway");
  EXPECT_TRUE(Matches(selector, Device()));
  (*selector.mutable_labels())["site"] = "north";
  EXPECT_TRUE(Matches(selector, Device()));
  selector.add_device_ids("02020202020202020202020202020202");
  EXPECT_FALSE(Matches(selector, Device()));
  selector.add_device_ids("01010101010101010101010101010101");
  EXPECT_TRUE(Matches(selector, Device()));
  (*selector.mutable_labels())["ring"] = "canary";
  EXPECT_FALSE(Matches(selector, Device()));
}

TEST(Selector, OneOfTheGroupsIsEnough) {
  DeviceFacts device = Device();
  DeviceSelector selector;
  selector.add_groups("lab");
  selector.add_groups("pilots");
  EXPECT_FALSE(Matches(selector, device));
  device.groups = {"pilots"};
  EXPECT_TRUE(Matches(selector, device));
  (*selector.mutable_labels())["site"] = "south";
  EXPECT_FALSE(Matches(selector, device));
  EXPECT_THAT(ValidateSelector(selector), IsOk());
  selector.add_groups("a/b");
  EXPECT_THAT(ValidateSelector(selector), FailsBecause("bad_selector"));
  selector.mutable_groups()->RemoveLast();
  selector.set_all(true);
  EXPECT_THAT(ValidateSelector(selector), FailsBecause("bad_selector"));
}

TEST(Selector, RefusesWhatCanNotBeMeant) {
  DeviceSelector selector;
  selector.set_all(true);
  selector.add_device_types("gateway");
  EXPECT_THAT(ValidateSelector(selector), FailsBecause("bad_selector"));
  selector.set_all(false);
  EXPECT_THAT(ValidateSelector(selector), IsOk());
  selector.add_device_ids("0101");
  EXPECT_THAT(ValidateSelector(selector), FailsBecause("bad_selector"));
  selector.clear_device_ids();
  selector.add_device_types("../etc");
  EXPECT_THAT(ValidateSelector(selector), FailsBecause("bad_selector"));
}

TEST(Window, WithinADay) {
  TimeWindow window;
  window.set_from_minute(60);
  window.set_to_minute(120);
  EXPECT_FALSE(InWindow(window, {1, 59}));
  EXPECT_TRUE(InWindow(window, {1, 60}));
  EXPECT_TRUE(InWindow(window, {1, 119}));
  EXPECT_FALSE(InWindow(window, {1, 120}));
}

TEST(Window, OverMidnightBelongsToTheEvening) {
  TimeWindow window;
  window.set_from_minute(22 * 60);
  window.set_to_minute(4 * 60);
  window.add_weekdays(7);  // Sunday evening
  EXPECT_TRUE(InWindow(window, {7, 23 * 60}));
  EXPECT_TRUE(InWindow(window, {1, 3 * 60}));    // Monday before four
  EXPECT_FALSE(InWindow(window, {7, 3 * 60}));   // still Saturday's night
  EXPECT_FALSE(InWindow(window, {1, 23 * 60}));  // Monday evening
  EXPECT_FALSE(InWindow(window, {7, 12 * 60}));
}

TEST(Window, RefusesImpossibleTimes) {
  TimeWindow window;
  window.set_to_minute(1440);
  EXPECT_THAT(ValidateWindow(window), FailsBecause("bad_window"));
  window.set_to_minute(10);
  window.add_weekdays(0);
  EXPECT_THAT(ValidateWindow(window), FailsBecause("bad_window"));
}

}  // namespace
}  // namespace shoal::rules
