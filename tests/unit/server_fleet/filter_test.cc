#include "server/fleet/filter/filter.h"

#include "server/fleet/device_terms.h"
#include "tests/support/status_matchers.h"

namespace shoal::server {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

store::DeviceRow Device() {
  store::DeviceRow row;
  row.mutable_assignment()->set_device_id(std::string(16, '\x2a'));
  fleet::v1::Device& device = *row.mutable_device();
  device.set_state(fleet::v1::ENROLMENT_STATE_ACCEPTED);
  device.set_device_type("gateway");
  device.set_running_version("1.10.0");
  device.set_last_seen_at(absl::ToUnixMillis(kNow - absl::Hours(2)));
  (*device.mutable_labels())["site"] = "north";
  (*device.mutable_labels())["rack.row"] = "7";
  (*device.mutable_labels())["note"] = "say \"hi\" *";
  (*device.mutable_labels())["empty"] = "";
  (*device.mutable_inventory())["memory_mb"] = "4096";
  (*device.mutable_inventory())["kernel"] = "6.1.0-18-amd64";
  device.add_groups("groups/canary");
  return row;
}

bool Holds(const std::string& text) {
  auto filter = ParseFilter(text, kNow);
  EXPECT_OK(filter) << text;
  return filter.ok() && Matches(*filter, FilterSubject(Device()));
}

TEST(Filter, Conditions) {
  for (const char* text : {"",
                           "  ",
                           "state = accepted",
                           "state = ENROLMENT_STATE_ACCEPTED",
                           "state != pending",
                           "device_type = gateway",
                           "device_type:gate*",
                           "labels.site = north",
                           "labels.site = \"north\"",
                           "labels.site = n*h",
                           "labels.site != south",
                           "labels.site:*",
                           "labels:site",
                           "labels.\"site\" = north",
                           "labels.rack.row = 7",
                           "labels.rack.row < 10",
                           "labels.empty = \"\"",
                           "labels:empty",
                           "labels.note = \"say \\\"hi\\\" \\*\"",
                           "labels.note:\"*hi*\"",
                           "inventory.memory_mb >= 4096",
                           "inventory.memory_mb < 10000",
                           "inventory.kernel > 6.1.0-9",
                           "inventory.kernel:6.1.*",
                           "running_version > 1.9.0",
                           "running_version = 1.10.0",
                           "running_version <= 1.10.0",
                           "last_seen > -3h",
                           "last_seen < -1h",
                           "last_seen:*",
                           "last_seen > 2026-01-31T12:00:00Z",
                           "group = canary",
                           "group:groups/canary",
                           "name = devices/2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a",
                           "name = 2a2a*",
                           "NOT labels.site = south",
                           "-labels.site = south",
                           "NOT labels.none = x",
                           "labels.site = south OR device_type = gateway",
                           "(state = accepted)",
                           "state=accepted AND labels.site=north"}) {
    EXPECT_TRUE(Holds(text)) << text;
  }
  for (const char* text :
       {"state = pending", "device_type = gate", "labels.site = North",
        "labels.none != x", "labels:none", "labels.site = nor",
        "inventory.memory_mb > 4096", "running_version > 1.10.0",
        "running_version < 1.9.0", "last_seen > -1h", "group = other",
        "name = 2b*", "NOT state = accepted",
        "labels.site = north AND state = pending",
        "labels.note = \"say \\\"hi\\\" x\""}) {
    EXPECT_FALSE(Holds(text)) << text;
  }
}

// google.aip.dev/160: a AND b OR c is a AND (b OR c).
TEST(Filter, OrBindsTighterThanAnd) {
  EXPECT_FALSE(
      Holds("state = pending AND labels.site = x OR device_type = gateway"));
  EXPECT_TRUE(
      Holds("(state = pending AND labels.site = x) OR device_type = gateway"));
  EXPECT_TRUE(
      Holds("device_type = gateway AND labels.site = x OR state = accepted"));
}

TEST(Filter, ErrorsNameTheirPlace) {
  const struct {
    const char* text;
    size_t position;
  } kCases[] = {
      {"colour = red", 0},
      {"state = accepted AND", 20},
      {"state = accepted labels.site = x", 17},
      {"state accepted", 6},
      {"state =", 7},
      {"state = ripe", 8},
      {"state < accepted", 6},
      {"(state = accepted", 0},
      {"state = accepted)", 16},
      {"labels.site = \"north", 14},
      {"labels.site = \"a\\n\"", 16},
      {"labels = x", 0},
      {"labels. = x", 7},
      {"device_type.x = y", 0},
      {"labels.\"a b\" = c", 0},
      {"last_seen = -1h", 10},
      {"last_seen > 1h", 12},
      {"last_seen > yesterday", 12},
      {"group != a", 6},
      {"\"text\"", 0},
      {"NOT", 3},
      {"AND state = accepted", 4},
  };
  for (const auto& c : kCases) {
    const auto filter = ParseFilter(c.text, kNow);
    EXPECT_THAT(filter, testing::Fails(absl::StatusCode::kInvalidArgument,
                                       "bad_filter"))
        << c.text;
    EXPECT_EQ(FilterErrorPosition(filter.status()), c.position)
        << c.text << ": " << filter.status();
  }
}

TEST(Filter, IsBounded) {
  std::string text = "state = accepted";
  for (int i = 1; i < kMaxFilterConditions; ++i) text += " AND state:*";
  EXPECT_OK(ParseFilter(text, kNow));
  EXPECT_THAT(ParseFilter(text + " AND state:*", kNow),
              testing::FailsBecause("bad_filter"));
  std::string deep(kMaxFilterDepth - 1, '(');
  deep += "state:*" + std::string(kMaxFilterDepth - 1, ')');
  EXPECT_OK(ParseFilter(deep, kNow));
  EXPECT_THAT(ParseFilter("(" + deep + ")", kNow),
              testing::FailsBecause("bad_filter"));
  EXPECT_THAT(ParseFilter(std::string(5000, '('), kNow),
              testing::FailsBecause("bad_filter"));
  EXPECT_THAT(ParseFilter("state:*" + std::string(kMaxFilterBytes, ' '), kNow),
              testing::FailsBecause("bad_filter"));
  std::string nots;
  for (int i = 0; i < 1000; ++i) nots += "NOT ";
  EXPECT_THAT(ParseFilter(nots + "state:*", kNow),
              testing::FailsBecause("bad_filter"));
}

TEST(Filter, OfAGroupMustNotDependOnTimeOrGroups) {
  EXPECT_OK(CheckGroupFilter(*ParseFilter("labels.a = b", kNow)));
  EXPECT_THAT(CheckGroupFilter(*ParseFilter("NOT last_seen > -1h", kNow)),
              testing::FailsBecause("bad_filter"));
  EXPECT_THAT(CheckGroupFilter(*ParseFilter("state:* AND group = a", kNow)),
              testing::FailsBecause("bad_filter"));
}

TEST(CompareVersions, OrdersNumbersBySize) {
  EXPECT_LT(CompareVersions("1.9.0", "1.10.0"), 0);
  EXPECT_LT(CompareVersions("1.9", "1.10"), 0);
  EXPECT_LT(CompareVersions("6.1.0-9", "6.1.0-18"), 0);
  EXPECT_LT(CompareVersions("1.0", "1.0.1"), 0);
  EXPECT_EQ(CompareVersions("1.02", "1.2"), 0);
  EXPECT_LT(CompareVersions("99999999999999999998", "99999999999999999999"), 0);
  EXPECT_LT(CompareValues("-5", "3"), 0);
  EXPECT_LT(CompareValues("4.25", "4.5"), 0);
  EXPECT_LT(CompareValues("4.25.0", "4.5.0") * -1, 0);
  EXPECT_LT(CompareValues("abc", "abd"), 0);
}

TEST(TextPattern, MatchesWithStars) {
  const TextPattern pattern{{"a", "b", "c"}};
  for (const char* text : {"abc", "axbxc", "abbc", "abcbc"}) {
    EXPECT_TRUE(pattern.Matches(text)) << text;
  }
  for (const char* text : {"ab", "ac", "xabc", "abcx", ""}) {
    EXPECT_FALSE(pattern.Matches(text)) << text;
  }
  EXPECT_FALSE((TextPattern{{"ab", "ba"}}).Matches("aba"));
}

}  // namespace
}  // namespace shoal::server
