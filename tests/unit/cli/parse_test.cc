#include "server/cli/parse.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace shoal::cli {
namespace {

using testing::FailsBecause;

TEST(ParseDuration, ReadsUnitsPeopleWrite) {
  EXPECT_EQ(*ParseDuration("90s"), absl::Seconds(90));
  EXPECT_EQ(*ParseDuration("15m"), absl::Minutes(15));
  EXPECT_EQ(*ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(*ParseDuration("7d"), absl::Hours(168));
  EXPECT_EQ(*ParseDuration("2w"), absl::Hours(336));
}

TEST(ParseDuration, RefusesTheRest) {
  for (const char* text : {"", "10", "d", "-1h", "0s", "0d", "1x", "1d2h",
                           "9999999h", "inf", "5000d", "4294967296d"}) {
    EXPECT_THAT(ParseDuration(text), FailsBecause("usage")) << text;
  }
}

TEST(ParsePermille, ReadsPercent) {
  EXPECT_EQ(*ParsePermille("20%"), 200u);
  EXPECT_EQ(*ParsePermille("0.5%"), 5u);
  EXPECT_EQ(*ParsePermille("100"), 1000u);
  EXPECT_EQ(*ParsePermille("0%"), 0u);
  for (const char* text : {"", "%", "101%", "-1%", "0.05%", "nan", "5 %"}) {
    EXPECT_THAT(ParsePermille(text), FailsBecause("usage")) << text;
  }
}

TEST(ParseLabels, NeedsKeyAndValueOnce) {
  EXPECT_EQ(*ParseLabels({"site=lab", "ring=a=b"}),
            (Labels{{"site", "lab"}, {"ring", "a=b"}}));
  EXPECT_THAT(ParseLabels({"site"}), FailsBecause("usage"));
  EXPECT_THAT(ParseLabels({"=x"}), FailsBecause("usage"));
  EXPECT_THAT(ParseLabels({"site="}), FailsBecause("usage"));
  EXPECT_THAT(ParseLabels({"a b=c"}), FailsBecause("usage"));
  EXPECT_THAT(ParseLabels({"site=a", "site=b"}), FailsBecause("usage"));
}

TEST(ApplyLabelChanges, SetsAndRemoves) {
  EXPECT_EQ(*ApplyLabelChanges({{"site", "lab"}, {"ring", "a"}},
                               {"ring-", "site=shop", "x=y"}),
            (Labels{{"site", "shop"}, {"x", "y"}}));
  EXPECT_THAT(ApplyLabelChanges({}, {"site"}), FailsBecause("usage"));
  EXPECT_THAT(ApplyLabelChanges({}, {"-"}), FailsBecause("usage"));
}

TEST(ParsePhase, ReadsEveryKey) {
  const auto phase = ParsePhase(
      "canary:count=5,soak=10s,success=99.5%,min=4,manual,label.site=lab");
  ASSERT_OK(phase);
  EXPECT_EQ(phase->name(), "canary");
  EXPECT_EQ(phase->count(), 5u);
  EXPECT_EQ(phase->gate().soak_ms(), 10'000);
  EXPECT_EQ(phase->gate().success_permille(), 995u);
  EXPECT_EQ(phase->gate().min_outcomes(), 4u);
  EXPECT_TRUE(phase->gate().manual());
  EXPECT_EQ(phase->labels().at("site"), "lab");
}

TEST(ParsePhase, ReadsPercent) {
  const auto phase = ParsePhase("all:percent=100");
  ASSERT_OK(phase);
  EXPECT_EQ(phase->size_case(), rollout::v1::PhaseSpec::kPercent);
  EXPECT_EQ(phase->percent(), 100);
  EXPECT_FALSE(phase->has_gate());
  EXPECT_EQ(ParsePhase("half:percent=50%")->percent(), 50);
}

TEST(ParsePhase, RefusesWhatHasNoSizeOrTwo) {
  for (const char* text :
       {"canary", "canary:", "canary:soak=1s", "canary:count=1,percent=2",
        "canary:count=0", "canary:count=-1", "canary:count=1,count=2",
        "canary:count=1,soak=never", "canary:count=1,speed=9", ":count=1",
        "a b:count=1", "canary:percent=101", "canary:count=1,",
        "canary:count=1,success=200%", "canary:count=1,min=0",
        "canary:count=99999999999"}) {
    EXPECT_THAT(ParsePhase(text), FailsBecause("usage")) << text;
  }
}

TEST(ParseWindow, ReadsDaysAndTimes) {
  const auto night = ParseWindow("22:00-04:30");
  ASSERT_OK(night);
  EXPECT_EQ(night->from_minute(), 1320u);
  EXPECT_EQ(night->to_minute(), 270u);
  EXPECT_EQ(night->weekdays_size(), 0);
  const auto week = ParseWindow("1-3,7 09:00-17:00");
  ASSERT_OK(week);
  EXPECT_EQ(
      std::vector<uint32_t>(week->weekdays().begin(), week->weekdays().end()),
      (std::vector<uint32_t>{1, 2, 3, 7}));
  for (const char* text :
       {"", "22:00", "24:00-01:00", "22:60-01:00", "0-5 01:00-02:00",
        "5-1 01:00-02:00", "8 01:00-02:00", "1-2-3 01:00-02:00", "mon 1:00"}) {
    EXPECT_THAT(ParseWindow(text), FailsBecause("usage")) << text;
  }
}

TEST(Names, TakeShortAndFullForms) {
  const std::string id = "00112233445566778899aabbccddeeff";
  EXPECT_EQ(*DeviceName(id), "devices/" + id);
  EXPECT_EQ(*DeviceName("devices/00112233445566778899AABBCCDDEEFF"),
            "devices/" + id);
  EXPECT_EQ(DeviceIdOf(id)->size(), 16u);
  EXPECT_THAT(DeviceName("0011"), FailsBecause("usage"));
  EXPECT_THAT(DeviceName("devices/../x"), FailsBecause("usage"));
  EXPECT_EQ(*RolloutName("r-1"), "rollouts/r-1");
  EXPECT_EQ(*RolloutName("rollouts/r-1"), "rollouts/r-1");
  EXPECT_THAT(RolloutName("../r"), FailsBecause("usage"));
  EXPECT_EQ(ParseReleaseId("gateway/1.4.0")->Name(), "releases/gateway/1.4.0");
  EXPECT_EQ(ParseReleaseId("releases/gateway/1.4.0")->version, "1.4.0");
  EXPECT_THAT(ParseReleaseId("gateway"), FailsBecause("usage"));
  EXPECT_THAT(ParseReleaseId("a/b/c"), FailsBecause("usage"));
}

}  // namespace
}  // namespace shoal::cli
