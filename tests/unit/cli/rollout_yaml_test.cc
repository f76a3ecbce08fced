#include "server/cli/rollout_yaml.h"

#include <gtest/gtest.h>

#include "server/cli/rollout_options.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::cli {
namespace {

using testing::FailsBecause;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

constexpr char kCanary[] = R"(# everything that a policy may say
release: gateway/1.4.0
id: spring
select:
  labels: {site: north}
  groups: [floor]
phases:
  - name: canary
    count: 5
    gate: {soak: 1h, success: 95%, min: 5, settle: 6h}
  - name: lab
    groups: [lab]
    labels: {ring: beta}
    gate: {approvals: 2, approvers: [ann, bob, eve]}
  - name: all
    percent: 100
error_threshold: 20%
unattended: true
windows: ["1-5 22:00-04:00"]
calendar: {exclude: [12-25, 2026-12-31], include: [2026-12-27]}
activation: {windows: ["02:00-04:00"], after: 1d, hold: true}
bandwidth: {unmetered_only: true, max_bytes_per_second: 100000}
retry: {attempts: 4, backoff: 5m, max_backoff: 1h}
max_parallel: 100
device_time: 10m
consent: true
optional: true
priority: urgent
deadline: 7d
lifetime: 14d
lost_after: 48h
)";

TEST(RolloutYaml, HoldsTheWholePolicy) {
  ASSERT_OK_AND_ASSIGN(const auto request,
                       ParseRolloutYaml(kCanary, "canary.yaml", kNow));
  EXPECT_EQ(request.release(), "releases/gateway/1.4.0");
  EXPECT_EQ(request.device_type(), "gateway");
  EXPECT_EQ(request.rollout_id(), "spring");
  EXPECT_EQ(request.selector().labels().at("site"), "north");
  EXPECT_FALSE(request.selector().all());
  ASSERT_EQ(request.phases_size(), 3);
  const auto& canary = request.phases(0).gate();
  EXPECT_EQ(request.phases(0).count(), 5u);
  EXPECT_EQ(canary.soak_ms(), 3'600'000);
  EXPECT_EQ(canary.settle_ms(), 6 * 3'600'000);
  EXPECT_EQ(canary.success_permille(), 950u);
  EXPECT_EQ(canary.min_outcomes(), 5u);
  EXPECT_FALSE(canary.manual());
  const auto& lab = request.phases(1);
  EXPECT_EQ(lab.groups(0), "lab");
  ASSERT_EQ(request.selector().groups_size(), 1);
  EXPECT_EQ(request.selector().groups(0), "floor");
  EXPECT_EQ(lab.labels().at("ring"), "beta");
  EXPECT_TRUE(lab.gate().manual());
  EXPECT_EQ(lab.gate().approvals(), 2u);
  EXPECT_EQ(lab.gate().approvers_size(), 3);
  EXPECT_EQ(request.phases(2).percent(), 100);
  EXPECT_EQ(request.error_threshold_permille(), 200u);
  EXPECT_TRUE(request.unattended());
  EXPECT_EQ(request.windows(0).weekdays_size(), 5);
  EXPECT_EQ(request.calendar().excluded(0), 1225u);
  EXPECT_EQ(request.calendar().excluded(1), 20261231u);
  EXPECT_EQ(request.calendar().included(0), 20261227u);
  EXPECT_EQ(request.activation().not_before(),
            absl::ToUnixMillis(kNow + absl::Hours(24)));
  EXPECT_TRUE(request.activation().hold());
  EXPECT_TRUE(request.bandwidth().unmetered_only());
  EXPECT_EQ(request.bandwidth().max_bytes_per_second(), 100'000u);
  EXPECT_EQ(request.retry().max_attempts(), 4u);
  EXPECT_EQ(request.retry().max_backoff_ms(), 3'600'000);
  EXPECT_EQ(request.max_parallel(), 100u);
  EXPECT_EQ(request.device_seconds(), 600u);
  EXPECT_TRUE(request.consent());
  EXPECT_TRUE(request.optional());
  EXPECT_EQ(request.priority(), rollout::v1::ROLLOUT_PRIORITY_URGENT);
  EXPECT_EQ(request.deadline_seconds(), 7 * 86400);
  EXPECT_EQ(request.lifetime_seconds(), 14 * 86400);
  EXPECT_EQ(request.lost_after_seconds(), 48u * 3600);
}

TEST(RolloutYaml, NamesEveryProblemWithItsLine) {
  const auto request = ParseRolloutYaml(
      "release: gateway/1.4.0\n"
      "fases: []\n"
      "phases:\n"
      "  - name: a\n"
      "    count: many\n"
      "  - percent: 10\n"
      "    gate: {soke: 1h}\n"
      "priority: asap\n",
      "x.yaml", kNow);
  EXPECT_THAT(request, FailsBecause("bad_config"));
  const std::string message(request.status().message());
  for (const char* expected :
       {"x.yaml:2: unknown key 'fases'", "x.yaml:5: 'count' is a whole number",
        "x.yaml:6: a phase has a name", "x.yaml:7: unknown key 'soke'",
        "x.yaml:8: 'asap' is no priority"}) {
    EXPECT_NE(message.find(expected), std::string::npos) << expected << " in:\n"
                                                         << message;
  }
}

TEST(RolloutYaml, RefusesWhatIsNoPolicy) {
  const std::string deep(20'000, '[');
  for (const std::string& text :
       {std::string("- a\n- b\n"), std::string("release"), std::string(""),
        std::string("a: b\n---\nc: d\n"), std::string("release: [gateway/1]\n"),
        std::string("release: gateway/1\nrelease: gateway/2\n"),
        std::string("phases: {a: b}\n"), std::string("calendar: 12-25\n"),
        std::string("calendar: {exclude: [25.12.]}\n"),
        std::string("deadline: soon\n"), std::string("unattended: maybe\n"),
        std::string("a: [1\n"), std::string("a: \"\\q\"\n"), deep,
        std::string("x: &x [*x]\n"), std::string(65 * 1024, ' ')}) {
    EXPECT_THAT(ParseRolloutYaml(text, "x.yaml", kNow),
                FailsBecause("bad_config"))
        << text.substr(0, 60);
  }
}

TEST(RolloutYaml, GoesOnlyWithFlagsThatItDoesNotHold) {
  testing::TempDir dir;
  ASSERT_OK(RealFileSystem().WriteAtomic(dir.File("r.yaml"), kCanary));
  RolloutOptions options;
  options.file = dir.File("r.yaml");
  options.id = "from-flag";
  options.dry_run = true;
  ASSERT_OK_AND_ASSIGN(const auto request,
                       RolloutRequestOf(RealFileSystem(), options, kNow));
  EXPECT_EQ(request.rollout_id(), "from-flag");
  EXPECT_TRUE(request.validate_only());
  options.labels = {"site=south"};
  EXPECT_THAT(RolloutRequestOf(RealFileSystem(), options, kNow),
              FailsBecause("usage"));
}

}  // namespace
}  // namespace shoal::cli
