// When phases are said to open and to be done: by gates, windows and the
// measured rate, and nothing where it can't be known.
#include "server/rollout/phase_times.h"

#include <gtest/gtest.h>

namespace shoal::server {
namespace {

// Thursday, 2026-01-01, 10:00 UTC.
const absl::Time kStart = absl::FromUnixSeconds(1767261600);
constexpr absl::Time kNever = PhaseTimes::kNever;

class PhaseTimesTest : public ::testing::Test {
 protected:
  PhaseTimesTest() {
    row_.set_document_signed(true);
    row_.set_device_seconds(600);
    row_.mutable_rollout()->set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
    document().set_expires(absl::ToUnixSeconds(kStart + absl::Hours(24 * 30)));
    for (const uint32_t devices : {10u, 100u, 900u}) {
      document().add_phases()->set_expected_devices(devices);
      counts_.emplace_back();
      last_.push_back(absl::InfinitePast());
    }
    auto* ann = policy_.add_operators();
    ann->set_name("ann");
    ann->set_public_key(std::string(64, 'a'));
    auto* rule = policy_.add_rules();
    rule->set_name("approve");
    rule->add_principals("operator:ann");
    rule->add_actions("rollout.approve");
    document().mutable_phases(0)->mutable_gate()->set_soak_ms(3'600'000);
    document().mutable_phases(1)->mutable_gate()->set_soak_ms(7'200'000);
    Open(0, kStart);
  }
  rollout::v1::RolloutDocument& document() {
    return *row_.mutable_rollout()->mutable_document();
  }
  void Open(uint32_t phase, absl::Time at) {
    document().set_open_phase(phase);
    document().set_opened_at(absl::ToUnixMillis(at));
    row_.add_phase_opened_at(absl::ToUnixMillis(at));
  }
  void Answer(size_t phase, uint32_t succeeded, absl::Time last) {
    counts_[phase].succeeded = succeeded;
    last_[phase] = last;
  }
  std::vector<PhaseTimes> Times(absl::Time now = kStart) {
    return TimesOf(row_, counts_, last_, policy_, now);
  }
  policy::v1::AccessPolicy policy_;
  store::RolloutRow row_;
  std::vector<rules::OutcomeCount> counts_;
  std::vector<absl::Time> last_;
};

TEST_F(PhaseTimesTest, BeforeAnyAnswerByThePolicyAlone) {
  const auto times = Times();
  EXPECT_EQ(times[0].opens, kStart);
  EXPECT_EQ(times[0].answered, kStart + absl::Minutes(10));
  EXPECT_EQ(times[1].opens, kStart + absl::Hours(1));
  EXPECT_EQ(times[1].answered, kStart + absl::Minutes(70));
  EXPECT_EQ(times[2].opens, kStart + absl::Hours(3));
  EXPECT_EQ(times[2].answered, kStart + absl::Minutes(190));
}

TEST_F(PhaseTimesTest, TheMeasuredRateCountsForPhasesToCome) {
  // Five of ten in 40 minutes: ten in 80, and so the next.
  Answer(0, 5, kStart + absl::Minutes(40));
  const auto times = Times(kStart + absl::Minutes(41));
  EXPECT_EQ(times[0].answered, kStart + absl::Minutes(80));
  EXPECT_EQ(times[1].opens, kStart + absl::Minutes(80)) << "it wants all ten";
  EXPECT_EQ(times[1].answered, kStart + absl::Minutes(160));
  // Of a hundred the gate wants twenty.
  EXPECT_EQ(times[2].opens, kStart + absl::Minutes(200));
}

TEST_F(PhaseTimesTest, APlaceAtATimeTakesRounds) {
  document().mutable_parallel()->set_max(10);
  const auto times = Times();
  EXPECT_EQ(times[0].answered, kStart + absl::Minutes(10));
  EXPECT_EQ(times[1].answered, times[1].opens + absl::Minutes(100));
  EXPECT_EQ(times[2].answered, times[2].opens + absl::Minutes(900));
}

TEST_F(PhaseTimesTest, ManualGatesAndWhatIsBehindThem) {
  document().mutable_phases(0)->mutable_gate()->set_manual(true);
  auto times = Times();
  EXPECT_EQ(times[0].answered, kStart + absl::Minutes(10));
  EXPECT_EQ(times[1].opens, kNever);
  EXPECT_EQ(times[1].waits_for, "needs_approval");
  EXPECT_EQ(times[2].waits_for, "earlier_phase");
  auto* approval = row_.mutable_rollout()->add_approvals();
  approval->set_phase(1);
  approval->set_approver("operator:ann");
  times = Times();
  EXPECT_EQ(times[1].opens, kStart + absl::Hours(1));
  EXPECT_EQ(times[1].waits_for, "");
}

TEST_F(PhaseTimesTest, WindowsAreWaitedFor) {
  auto* window = document().add_windows();
  window->set_from_minute(22 * 60);
  window->set_to_minute(4 * 60);
  window->add_weekdays(5);  // Friday
  auto times = Times();
  const absl::Time friday = kStart + absl::Hours(36);
  EXPECT_EQ(times[0].opens, kStart);
  EXPECT_EQ(times[0].answered, friday + absl::Minutes(10));
  EXPECT_EQ(times[1].opens, friday + absl::Minutes(10));
  EXPECT_EQ(times[1].answered, friday + absl::Minutes(20))
      << "it is still open";
  // Past the deadline nobody waits for a window.
  document().set_deadline(absl::ToUnixSeconds(kStart + absl::Minutes(5)));
  EXPECT_EQ(Times()[1].answered, friday + absl::Minutes(20));
  document().set_deadline(absl::ToUnixSeconds(kStart));
  EXPECT_EQ(Times()[0].answered, kStart + absl::Minutes(10));
  document().clear_deadline();
  // On no day of the calendar.
  window->clear_weekdays();
  for (int day = 0; day < 70; ++day) {
    const absl::CivilDay date(absl::CivilDay(2026, 1, 1) + day);
    document().mutable_calendar()->add_excluded(static_cast<uint32_t>(
        date.year() * 10000 + date.month() * 100 + date.day()));
  }
  EXPECT_EQ(Times()[0].waits_for, "outside_window");
  EXPECT_EQ(Times()[1].waits_for, "outside_window");
}

TEST_F(PhaseTimesTest, SettlingComesOnTop) {
  document().mutable_phases(0)->mutable_gate()->set_settle_ms(86'400'000);
  Answer(0, 10, kStart + absl::Minutes(20));
  row_.set_enough_since(absl::ToUnixMillis(kStart + absl::Minutes(20)));
  const auto times = Times(kStart + absl::Minutes(30));
  EXPECT_EQ(times[0].answered, kStart + absl::Minutes(20));
  EXPECT_EQ(times[1].opens, kStart + absl::Minutes(20) + absl::Hours(24));
}

TEST_F(PhaseTimesTest, WhatTimeDoesNotMend) {
  document().mutable_phases(0)->mutable_gate()->set_success_permille(990);
  counts_[0].failed = 1;
  Answer(0, 9, kStart + absl::Minutes(20));
  document().set_error_threshold_permille(500);
  EXPECT_EQ(Times(kStart + absl::Minutes(30))[1].waits_for, "success_ratio");
  row_.mutable_rollout()->set_state(rollout::v1::ROLLOUT_STATE_PAUSED);
  EXPECT_EQ(Times()[1].waits_for, "rollout_not_active");
}

TEST_F(PhaseTimesTest, WhoIsLateOrLostOrHeld) {
  // Nobody answered, and one takes ten minutes.
  auto times = Times(kStart + absl::Hours(2));
  EXPECT_EQ(times[0].waits_for, "devices_at_work");
  EXPECT_EQ(times[1].waits_for, "devices_at_work");
  // The last one is lost.
  Answer(0, 9, kStart + absl::Minutes(20));
  counts_[0].lost = 1;
  times = Times(kStart + absl::Hours(2));
  EXPECT_EQ(times[0].answered, kStart + absl::Minutes(20));
  document().mutable_activation()->set_hold(true);
  EXPECT_EQ(Times()[1].waits_for, "activation_held");
  document().clear_activation();
  document().set_expires(absl::ToUnixSeconds(kStart + absl::Hours(2)));
  EXPECT_EQ(Times()[2].waits_for, "expired");
}

}  // namespace
}  // namespace shoal::server
