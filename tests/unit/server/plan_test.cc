#include "server/rollout/plan.h"

#include <functional>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "rules/position.h"
#include "rules/rollout.h"
#include "tests/support/status_matchers.h"

namespace shoal::server {
namespace {

using testing::FailsBecause;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

store::ReleaseRow Release() {
  store::ReleaseRow row;
  row.mutable_release()->set_device_type("gateway");
  row.mutable_release()->set_version("2.0");
  row.mutable_release()->set_image_target("fw/gateway/2.0/image");
  row.mutable_release()->set_sha256(std::string(64, 'a'));
  row.mutable_release()->set_length(1000);
  row.mutable_release()->set_counter(2);
  return row;
}

std::vector<rules::DeviceFacts> Devices(int count) {
  std::vector<rules::DeviceFacts> devices;
  for (int i = 0; i < count; ++i) {
    rules::DeviceFacts facts;
    facts.id = crypto::Sha256Digest(std::to_string(i)).substr(0, 16);
    facts.device_type = "gateway";
    if (i % 10 == 0) facts.labels["ring"] = "lab";
    devices.push_back(facts);
  }
  return devices;
}

rollout::v1::CreateRolloutRequest Request() {
  rollout::v1::CreateRolloutRequest request;
  request.set_rollout_id("r1");
  request.set_device_type("gateway");
  request.set_release("releases/gateway/2.0");
  return request;
}

absl::StatusOr<rollout::v1::RolloutDocument> Plan(
    const rollout::v1::CreateRolloutRequest& request, int devices) {
  return PlanRollout(request, Release(), std::string(32, 'f'), Devices(devices),
                     kNow);
}

TEST(Plan, PercentAndCountBecomeExactThresholds) {
  auto request = Request();
  request.add_phases()->set_count(3);
  request.add_phases()->set_percent(25);
  request.add_phases()->set_percent(100);
  ASSERT_OK_AND_ASSIGN(auto document, Plan(request, 100));
  ASSERT_EQ(document.phases_size(), 3);
  EXPECT_EQ(document.phases(0).expected_devices(), 3u);
  EXPECT_EQ(document.phases(1).expected_devices(), 22u);
  EXPECT_EQ(document.phases(2).expected_devices(), 75u);
  // The devices' own code reaches the same phases.
  int first = 0;
  for (const auto& device : Devices(100)) {
    first += rules::PhaseOf(document, device) == 0;
  }
  EXPECT_EQ(first, 3);
}

TEST(Plan, APercentageIsNotOneDeviceTooMany) {
  for (const int devices : {100, 200, 1000}) {
    for (int percent = 1; percent < 100; ++percent) {
      auto request = Request();
      request.add_phases()->set_percent(percent);
      request.add_phases()->set_percent(100);
      ASSERT_OK_AND_ASSIGN(const auto document, Plan(request, devices));
      EXPECT_EQ(document.phases(0).expected_devices(),
                static_cast<uint32_t>(percent * devices / 100))
          << percent << " % of " << devices;
    }
  }
  auto request = Request();
  request.add_phases()->set_percent(12.5);
  request.add_phases()->set_percent(100);
  EXPECT_EQ(Plan(request, 9)->phases(0).expected_devices(), 2u);
}

// More canaries than there are devices: those who enrol later are none.
TEST(Plan, ACountOfAllThatAreThereTakesNoNewcomers) {
  for (const int devices : {0, 1, 5}) {
    auto request = Request();
    request.add_phases()->set_count(5);
    request.add_phases()->set_percent(100);
    ASSERT_OK_AND_ASSIGN(const auto document, Plan(request, devices));
    EXPECT_EQ(document.phases(0).expected_devices(),
              static_cast<uint32_t>(devices));
    uint64_t last = 0;
    for (const auto& device : Devices(devices))
      last = std::max<uint64_t>(last, rules::Position("r1", device.id) + 1);
    EXPECT_EQ(document.phases(0).threshold(), last);
    EXPECT_EQ(document.phases(1).threshold(), uint64_t{1} << 32);
  }
}

TEST(Plan, LabelledPhaseTakesItsDevicesWhateverTheirPosition) {
  auto request = Request();
  (*request.add_phases()->mutable_labels())["ring"] = "lab";
  request.add_phases()->set_percent(100);
  ASSERT_OK_AND_ASSIGN(auto document, Plan(request, 50));
  EXPECT_EQ(document.phases(0).expected_devices(), 5u);
  EXPECT_EQ(document.phases(1).expected_devices(), 45u);
}

TEST(Plan, WithoutPhasesEverybodyIsInTheOnlyOne) {
  ASSERT_OK_AND_ASSIGN(auto document, Plan(Request(), 7));
  ASSERT_EQ(document.phases_size(), 1);
  EXPECT_EQ(document.phases(0).threshold(), uint64_t{1} << 32);
  EXPECT_EQ(document.phases(0).expected_devices(), 7u);
  EXPECT_TRUE(document.selector().all());
}

TEST(Plan, WhatCannotBeMeantIsRefused) {
  auto shrinking = Request();
  shrinking.add_phases()->set_percent(50);
  shrinking.add_phases()->set_percent(10);
  EXPECT_THAT(Plan(shrinking, 0), FailsBecause("bad_rollout"));
  auto partial = Request();
  partial.add_phases()->set_percent(50);
  EXPECT_THAT(Plan(partial, 100), FailsBecause("bad_rollout"));
  auto other_type = Request();
  other_type.set_device_type("kiosk");
  EXPECT_THAT(Plan(other_type, 1), FailsBecause("bad_rollout"));
  auto nameless = Request();
  nameless.set_rollout_id("../x");
  EXPECT_THAT(Plan(nameless, 1), FailsBecause("bad_rollout"));
}

TEST(Plan, ThePolicyGoesIntoTheDocument) {
  auto request = Request();
  request.set_max_parallel(10);
  request.set_device_seconds(60);
  request.set_deadline_seconds(3600);
  request.set_optional(true);
  request.mutable_bandwidth()->set_unmetered_only(true);
  ASSERT_OK_AND_ASSIGN(auto document, Plan(request, 100));
  EXPECT_EQ(document.rules_level(), 1u);
  EXPECT_EQ(document.deadline(), absl::ToUnixSeconds(kNow) + 3600);
  EXPECT_EQ(document.parallel().max(), 10u);
  EXPECT_EQ(document.parallel().spread_ms(), 600'000) << "ten rounds of 60 s";
  EXPECT_TRUE(document.optional());
  request.set_priority(rollout::v1::ROLLOUT_PRIORITY_URGENT);
  ASSERT_OK_AND_ASSIGN(document, Plan(request, 100));
  EXPECT_EQ(document.parallel().spread_ms(), 0);
  ASSERT_OK_AND_ASSIGN(document, Plan(Request(), 100));
  EXPECT_EQ(document.rules_level(), 0u) << "older devices read it as well";
}

TEST(Plan, EveryLimitHasItsRefusal) {
  using Wrong = std::function<void(rollout::v1::CreateRolloutRequest&)>;
  const Wrong wrong[] = {
      [](auto& r) { r.set_lifetime_seconds(-1); },
      [](auto& r) { r.set_lifetime_seconds(365 * 86'400 + 1); },
      [](auto& r) { r.set_deadline_seconds(-1); },
      [](auto& r) { r.set_deadline_seconds(30 * 86'400); },
      [](auto& r) { r.set_max_parallel(1'000'001); },
      [](auto& r) { r.set_device_seconds(86'401); },
      [](auto& r) { r.set_error_threshold_permille(1001); },
      [](auto& r) { r.mutable_retry()->set_max_attempts(11); },
      [](auto& r) { r.mutable_retry()->set_backoff_ms(2'592'000'001); },
      [](auto& r) { r.mutable_retry()->set_backoff_ms(-1); },
      [](auto& r) { r.mutable_activation()->set_released(true); },
      [](auto& r) { r.mutable_bandwidth()->set_max_bytes_per_second(1); },
      [](auto& r) { r.set_only_running_sha256("x"); },
      [](auto& r) { r.set_lost_after_seconds(59); },
      [](auto& r) {
        for (int i = 0; i < 33; ++i) r.add_phases()->set_percent(100);
      },
      [](auto& r) {
        auto* phase = r.add_phases();
        phase->set_percent(100);
        for (int i = 0; i < 33; ++i)
          (*phase->mutable_labels())["k" + std::to_string(i)] = "v";
      },
      [](auto& r) {
        auto* phase = r.add_phases();
        phase->set_percent(100);
        (*phase->mutable_labels())["k"] = std::string(129, 'v');
      },
      [](auto& r) {
        for (int i = 0; i < 33; ++i) r.add_windows();
      },
  };
  ASSERT_OK(Plan(Request(), 1));
  for (size_t i = 0; i < std::size(wrong); ++i) {
    auto request = Request();
    wrong[i](request);
    EXPECT_THAT(Plan(request, 1), FailsBecause("bad_rollout")) << i;
  }
  auto request = Request();
  request.mutable_calendar()->add_excluded(1);
  EXPECT_THAT(Plan(request, 1), FailsBecause("bad_calendar"));
}

}  // namespace
}  // namespace shoal::server
