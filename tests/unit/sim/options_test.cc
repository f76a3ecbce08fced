#include "sim/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/status_matchers.h"

namespace shoal::sim {
namespace {

using testing::Fails;

TEST(Options, LinksHaveUnitsAndShares) {
  const auto links = ParseLinks("1mbit:3,64kbit,2MB:0.5");
  ASSERT_OK(links);
  ASSERT_EQ(links->size(), 3u);
  EXPECT_DOUBLE_EQ((*links)[0].bytes_per_second, 125'000);
  EXPECT_DOUBLE_EQ((*links)[0].share, 3);
  EXPECT_DOUBLE_EQ((*links)[1].bytes_per_second, 8'000);
  EXPECT_DOUBLE_EQ((*links)[1].share, 1);
  EXPECT_DOUBLE_EQ((*links)[2].bytes_per_second, 2e6);
}

TEST(Options, WhatIsNoLinkIsRefused) {
  for (const char* text : {"", "fast", "1", "1mbit:", "1mbit:0", "-1mbit",
                           "0kB", "1mbit:2x", "1mbit,,2mbit", "inf"})
    EXPECT_THAT(ParseLinks(text).status(),
                Fails(absl::StatusCode::kInvalidArgument, "bad_links"))
        << text;
}

TEST(Options, Sizes) {
  EXPECT_EQ(ParseSize("0").value(), 0u);
  EXPECT_EQ(ParseSize("1500").value(), 1500u);
  EXPECT_EQ(ParseSize("64k").value(), 65536u);
  EXPECT_EQ(ParseSize("1.5M").value(), 1572864u);
  EXPECT_EQ(ParseSize("2G").value(), 2147483648u);
  for (const char* text : {"", "k", "1kB", "-1", "1T", "1e12G"})
    EXPECT_THAT(ParseSize(text).status(),
                Fails(absl::StatusCode::kInvalidArgument, "bad_size"))
        << text;
}

TEST(Options, PhasesGrowToAHundred) {
  EXPECT_EQ(ParsePhases("1,10,50,100").value(),
            (std::vector<double>{1, 10, 50, 100}));
  EXPECT_EQ(ParsePhases("100").value(), std::vector<double>{100});
  std::string many;
  for (int i = 1; i <= 32; ++i) many += std::to_string(i) + ",";
  for (const std::string& text : std::vector<std::string>{
           std::string(), std::string("1,10"), std::string("10,10,100"),
           std::string("50,20,100"), std::string("0,100"), std::string("101"),
           std::string("a"), many + "100"})
    EXPECT_THAT(ParsePhases(text).status(),
                Fails(absl::StatusCode::kInvalidArgument, "bad_phases"))
        << text;
}

TEST(Options, WhatIsOutOfBoundsIsRefused) {
  EXPECT_OK(Validate(SimOptions{}));
  for (const auto& change : std::vector<std::function<void(SimOptions&)>>{
           [](SimOptions& o) { o.devices = 0; },
           [](SimOptions& o) { o.devices = 100'001; },
           [](SimOptions& o) { o.nodes = 0; },
           [](SimOptions& o) { o.nodes = 17; },
           [](SimOptions& o) { o.devices_per_socket = 0; },
           [](SimOptions& o) { o.threads = 0; },
           [](SimOptions& o) { o.pairing_at_once = 0; },
           [](SimOptions& o) { o.failing = 1.1; },
           [](SimOptions& o) { o.offline = -0.1; },
           [](SimOptions& o) { o.gate_success = 101; },
           [](SimOptions& o) { o.attempts = 11; }}) {
    SimOptions options;
    change(options);
    EXPECT_THAT(Validate(options),
                Fails(absl::StatusCode::kInvalidArgument, "bad_options"));
  }
}

TEST(Options, TheGateAsksForAShareOfEachPhase) {
  SimOptions options;
  options.devices = 1000;
  options.phases = {1, 100};
  options.gate_sample = 60;
  const std::string yaml = RolloutYaml(options, "sim/2.0", "r");
  EXPECT_NE(yaml.find("release: sim/2.0\nid: r\n"), yaml.npos) << yaml;
  // Of 10 devices; the last phase opens nothing.
  EXPECT_NE(yaml.find("percent: 1\n    gate: {success: 80%, min: 6}"),
            yaml.npos)
      << yaml;
  EXPECT_EQ(yaml.find("percent: 100\n    gate"), yaml.npos) << yaml;
}

TEST(Options, ChanceIsUniformAndAlwaysTheSame) {
  double sum = 0;
  int low = 0;
  for (uint64_t device = 0; device < 10'000; ++device) {
    const double chance = Chance(7, device, "x");
    ASSERT_GE(chance, 0);
    ASSERT_LT(chance, 1);
    EXPECT_EQ(chance, Chance(7, device, "x"));
    sum += chance;
    low += chance < 0.02;
  }
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
  EXPECT_NEAR(low, 200, 60);
  EXPECT_NE(Chance(7, 1, "x"), Chance(8, 1, "x"));
  EXPECT_NE(Chance(7, 1, "x"), Chance(7, 1, "y"));
}

TEST(Options, LinksAreGivenOutByShare) {
  SimOptions options;
  options.links = {{3, 100}, {1, 10}};
  int fast = 0;
  for (uint64_t device = 0; device < 4'000; ++device)
    fast += LinkOf(options, device) == 100;
  EXPECT_NEAR(fast, 3'000, 150);
}

}  // namespace
}  // namespace shoal::sim
