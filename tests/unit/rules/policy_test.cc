// The rollout policy's conditions, one by one: calendar, activation, parallel,
// consent, postponement, deadline, bandwidth class, retries, approvals.
#include <gtest/gtest.h>

#include "rules/calendar.h"
#include "rules/conditions.h"
#include "rules/parallel.h"
#include "rules/position.h"
#include "rules/progress.h"
#include "rules/promises.h"
#include "rules/rollout.h"
#include "tests/support/status_matchers.h"

namespace shoal::rules {
namespace {

using rollout::v1::RolloutDocument;
using ::shoal::testing::FailsBecause;

const absl::Time kStart = absl::FromUnixSeconds(1800000000);

RolloutDocument Document() {
  RolloutDocument document;
  document.set_id("r1");
  document.set_version(1);
  document.set_rules_level(kRulesLevel);
  document.set_fleet(std::string(32, 'f'));
  document.set_device_type("gateway");
  auto* release = document.mutable_release();
  release->set_version("2.0");
  release->set_image_target("fw/gateway/2.0/image");
  release->set_sha256(std::string(32, 's'));
  release->set_length(1000);
  document.mutable_selector()->set_all(true);
  auto* all = document.add_phases();
  all->set_name("all");
  all->set_threshold(kEveryPosition);
  all->set_expected_devices(4);
  document.set_opened_at(absl::ToUnixMillis(kStart));
  document.set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
  document.set_expires(absl::ToUnixSeconds(kStart + absl::Hours(24)));
  document.set_unattended(true);
  return document;
}

StartInput Input() {
  StartInput input;
  input.device.id = std::string(16, 'd');
  input.device.device_type = "gateway";
  input.fleet_id = std::string(32, 'f');
  input.now = kStart + absl::Hours(1);
  input.local = {5, 12 * 60, 20261225};  // a Friday, noon, Christmas
  return input;
}

void AddWindow(Windows* windows, uint32_t from, uint32_t to,
               std::vector<uint32_t> weekdays = {}) {
  auto* window = windows->Add();
  window->set_from_minute(from);
  window->set_to_minute(to);
  for (uint32_t day : weekdays) window->add_weekdays(day);
}

TEST(Calendar, HolidaysCloseAndExtraDaysOpenWindows) {
  Windows windows;
  AddWindow(&windows, 22 * 60, 4 * 60, {1, 2, 3, 4, 5});
  rollout::v1::Calendar calendar;
  calendar.add_excluded(1225);      // every year
  calendar.add_included(20261227);  // a Sunday
  const auto open = [&](int weekday, int hour, int date) {
    return InCalendar(windows, calendar, {weekday, hour * 60, date});
  };
  EXPECT_TRUE(open(4, 23, 20261224));
  // After midnight it is still the evening of the 24th.
  EXPECT_TRUE(open(5, 3, 20261225));
  EXPECT_FALSE(open(5, 23, 20261225));
  EXPECT_FALSE(open(6, 3, 20261226));
  EXPECT_FALSE(open(6, 23, 20261226)) << "a Saturday";
  EXPECT_TRUE(open(7, 23, 20261227));
  EXPECT_TRUE(open(1, 3, 20261228));
  EXPECT_FALSE(open(5, 23, 20271225)) << "every year";
  // Over the turn of a year the day before is one of the year before.
  calendar.add_excluded(20261231);
  EXPECT_FALSE(open(5, 3, 20270101));
  EXPECT_TRUE(open(4, 23, 0)) << "no date is known: no holiday";
  EXPECT_FALSE(InCalendar({}, calendar, {5, 0, 20261225}));
  EXPECT_TRUE(InCalendar({}, calendar, {5, 0, 20261224}));
}

TEST(Calendar, OnlyDatesAreDates) {
  for (uint32_t bad : {0u, 1u, 1301u, 230u, 20261301u, 20260229u, 19991231u,
                       99991232u, 4294967295u}) {
    rollout::v1::Calendar calendar;
    calendar.add_excluded(bad);
    EXPECT_THAT(ValidateCalendar(calendar, true), FailsBecause("bad_calendar"))
        << bad;
  }
  rollout::v1::Calendar calendar;
  for (uint32_t good : {229u, 101u, 1231u, 20240229u, 99991231u})
    calendar.add_excluded(good);
  EXPECT_OK(ValidateCalendar(calendar, false));
  calendar.add_included(229);
  EXPECT_THAT(ValidateCalendar(calendar, true), FailsBecause("bad_calendar"));
  calendar.set_included(0, 228);
  EXPECT_OK(ValidateCalendar(calendar, true));
  EXPECT_THAT(ValidateCalendar(calendar, false), FailsBecause("bad_calendar"));
}

TEST(Policy, EachWaitHasItsReasonAndTheDeadlineEndsIt) {
  struct Case {
    const char* reason;
    std::function<void(RolloutDocument&, StartInput&)> make;
  };
  const Case cases[] = {
      {"outside_window",
       [](auto& d, auto&) { d.mutable_calendar()->add_excluded(1225); }},
      {"metered_link",
       [](auto& d, auto& i) {
         d.mutable_bandwidth()->set_unmetered_only(true);
         i.metered = true;
       }},
      {"needs_consent", [](auto& d, auto&) { d.set_consent(true); }},
      {"postponed",
       [](auto& d, auto& i) {
         d.set_optional(true);
         i.postponed_until = i.now + absl::Hours(1);
       }},
      {"not_admitted",
       [](auto& d, auto& i) {
         d.mutable_parallel()->set_max(1);
         d.mutable_parallel()->set_renew_ms(86'400'000);
         d.mutable_parallel()->set_admitted_at(absl::ToUnixMillis(i.now));
       }},
  };
  for (const Case& one : cases) {
    RolloutDocument document = Document();
    StartInput input = Input();
    one.make(document, input);
    ASSERT_OK(ValidateRollout(document));
    EXPECT_EQ(MayStart(document, input).reason, one.reason);
    document.set_deadline(absl::ToUnixSeconds(input.now));
    EXPECT_TRUE(MayStart(document, input).start) << one.reason;
    document.set_deadline(absl::ToUnixSeconds(input.now) + 1);
    EXPECT_EQ(MayStart(document, input).reason, one.reason);
  }
}

TEST(Policy, ADeadlineOpensNoPhaseAndLiftsNoHalt) {
  RolloutDocument document = Document();
  auto* first = document.mutable_phases(0);
  first->set_threshold(0);
  auto* rest = document.add_phases();
  rest->set_name("rest");
  rest->set_threshold(kEveryPosition);
  document.set_deadline(absl::ToUnixSeconds(kStart));
  EXPECT_EQ(MayStart(document, Input()).reason, "phase_closed");
  StartInput halted = Input();
  halted.halted = true;
  EXPECT_EQ(MayStart(document, halted).reason, "halted");
}

TEST(Policy, OnlyAnOptionalRolloutIsPutOff) {
  StartInput input = Input();
  input.postponed_until = absl::InfiniteFuture();
  EXPECT_TRUE(MayStart(Document(), input).start);
}

TEST(Policy, DownloadAndActivationAreTwoDecisions) {
  RolloutDocument document = Document();
  auto* activation = document.mutable_activation();
  activation->set_hold(true);
  StartInput input = Input();
  EXPECT_TRUE(MayStart(document, input).start) << "it may be downloaded";
  EXPECT_EQ(MayActivate(document, input).reason, "activation_held");
  activation->set_released(true);
  EXPECT_TRUE(MayActivate(document, input).start);
  activation->set_not_before(absl::ToUnixMillis(input.now) + 1);
  EXPECT_EQ(MayActivate(document, input).reason, "activation_not_yet");
  activation->set_not_before(absl::ToUnixMillis(input.now));
  AddWindow(activation->mutable_windows(), 0, 60);
  EXPECT_EQ(MayActivate(document, input).reason, "outside_activation_window");
  input.local.minute = 30;
  EXPECT_TRUE(MayActivate(document, input).start);
  input.halted = true;
  EXPECT_EQ(MayActivate(document, input).reason, "halted");
  input.halted = false;
  document.set_state(rollout::v1::ROLLOUT_STATE_PAUSED);
  EXPECT_EQ(MayActivate(document, input).reason, "rollout_not_active");
  EXPECT_FALSE(IsOver(document, input.now));
  document.set_state(rollout::v1::ROLLOUT_STATE_ABORTED);
  EXPECT_TRUE(IsOver(document, input.now));
}

TEST(Policy, TheWayBackIsForDevicesThatRunTheImage) {
  RolloutDocument document = Document();
  document.set_only_running_sha256(std::string(32, 'n'));
  StartInput input = Input();
  input.running_sha256 = std::string(32, 'o');
  EXPECT_EQ(MayStart(document, input).reason, "other_image");
  input.running_sha256 = std::string(32, 'n');
  EXPECT_TRUE(MayStart(document, input).start);
}

TEST(Policy, ADocumentBeyondThisAgentStartsNothing) {
  RolloutDocument document = Document();
  document.set_rules_level(kRulesLevel + 1);
  EXPECT_EQ(MayStart(document, Input()).reason, "agent_too_old");
}

TEST(Policy, PausesGrowToTheirCap) {
  RolloutDocument document = Document();
  document.mutable_retry()->set_backoff_ms(1000);
  EXPECT_EQ(PauseAfter(document, 4), absl::Seconds(8));
  document.mutable_retry()->set_max_backoff_ms(5000);
  EXPECT_EQ(PauseAfter(document, 2), absl::Seconds(2));
  EXPECT_EQ(PauseAfter(document, 4), absl::Seconds(5));
  // A try in the future: the clock went back. The number of tries bounds them.
  StartInput input = Input();
  input.attempts = {1, input.now + absl::Hours(5)};
  EXPECT_TRUE(MayStart(document, input).start);
}

TEST(Policy, ApprovalsAreOfDifferentOperatorsWhoCount) {
  rollout::v1::Gate gate;
  gate.set_manual(true);
  EXPECT_FALSE(Approved(gate, {}));
  EXPECT_TRUE(Approved(gate, {"ann"}));
  gate.set_approvals(2);
  EXPECT_FALSE(Approved(gate, {"ann"}));
  EXPECT_TRUE(Approved(gate, {"ann", "bob"}));
  gate.add_approvers("ann");
  gate.add_approvers("eve");
  EXPECT_FALSE(Approved(gate, {"ann", "bob"}));
  EXPECT_TRUE(Approved(gate, {"ann", "eve"}));
}

TEST(Policy, GroupsOfTheAssignmentPutADeviceIntoAPhase) {
  RolloutDocument document = Document();
  document.mutable_phases(0)->set_threshold(0);
  document.mutable_phases(0)->add_groups("lab");
  auto* rest = document.add_phases();
  rest->set_name("rest");
  rest->set_threshold(kEveryPosition);
  StartInput input = Input();
  EXPECT_EQ(PhaseOf(document, input.device), 1);
  input.device.groups = {"lab", "north"};
  EXPECT_EQ(PhaseOf(document, input.device), 0);
}

TEST(Policy, SettlingIsMeasuredFromTheFirstGoodLook) {
  RolloutDocument document = Document();
  document.mutable_phases(0)->mutable_gate()->set_settle_ms(60'000);
  OutcomeCount count{4, 0};
  EXPECT_EQ(EvaluateGate(document, 0, count, false, kStart).reason, "settling");
  count.enough_since = kStart;
  EXPECT_EQ(EvaluateGate(document, 0, count, false, kStart + absl::Seconds(59))
                .reason,
            "settling");
  EXPECT_EQ(EvaluateGate(document, 0, count, false, kStart + absl::Seconds(60))
                .answer,
            GateAnswer::kOpen);
  // A clock that went back behind it.
  EXPECT_EQ(
      EvaluateGate(document, 0, count, false, kStart - absl::Hours(1)).answer,
      GateAnswer::kWait);
}

TEST(Parallel, NeverMoreThanSoManyAreAtIt) {
  RolloutDocument document = Document();
  document.mutable_parallel()->set_max(3);
  std::vector<ParallelMember> members;
  for (uint32_t i = 0; i < 20; ++i) members.push_back({i * 1000, 0, false});
  const auto at_it = [&] {
    return std::count_if(members.begin(), members.end(), [&](const auto& m) {
      return !m.answered && m.position < document.parallel().admitted();
    });
  };
  size_t answered = 0;
  for (int round = 0; round < 40; ++round) {
    document.mutable_parallel()->set_admitted(
        NextAdmitted(document, 0, members));
    EXPECT_LE(at_it(), 3);
    if (answered == members.size()) break;
    EXPECT_GE(at_it(), 1);
    for (auto& member : members) {
      if (member.answered || member.position >= document.parallel().admitted())
        continue;
      member.answered = true;
      ++answered;
      break;
    }
  }
  EXPECT_EQ(answered, members.size());
  EXPECT_EQ(document.parallel().admitted(), kEveryPosition);
}

TEST(Parallel, WithoutAPlaneTheStartsAreSpread) {
  RolloutDocument document = Document();
  auto* parallel = document.mutable_parallel();
  parallel->set_max(1);
  parallel->set_admitted_at(absl::ToUnixMillis(kStart));
  parallel->set_renew_ms(3'600'000);
  parallel->set_spread_ms(36'000'000);
  const std::string id(16, 'd');
  const absl::Time at = AdmittedAt(document, id);
  EXPECT_GE(at, kStart + absl::Hours(2));
  EXPECT_LT(at, kStart + absl::Hours(12));
  const double share = static_cast<double>(Position("r1", id)) / 4294967296.0;
  EXPECT_NEAR(absl::ToDoubleHours(at - kStart - absl::Hours(2)), 10 * share,
              0.001);
  parallel->set_admitted(uint64_t{Position("r1", id)} + 1);
  EXPECT_EQ(AdmittedAt(document, id), absl::InfinitePast());
  parallel->set_admitted(0);
  document.set_unattended(false);
  EXPECT_EQ(AdmittedAt(document, id), absl::InfiniteFuture());
  EXPECT_EQ(SpreadOf(10, 3, absl::Minutes(10)), absl::Minutes(40));
  EXPECT_EQ(SpreadOf(1'000'000'000'000, 1, absl::Hours(24)),
            absl::Hours(24 * 30));
}

void Accept(RolloutDocument& document, uint32_t phase, uint32_t count,
            int64_t until) {
  auto* accepted = document.add_accepted_failures();
  accepted->set_phase(phase);
  accepted->set_count(count);
  accepted->set_until(until);
}

TEST(Policy, LimitsAreChecked) {
  const std::function<void(RolloutDocument&)> wrong[] = {
      [](auto& d) { d.mutable_phases(0)->mutable_gate()->set_settle_ms(-1); },
      [](auto& d) {
        d.mutable_phases(0)->mutable_gate()->set_settle_ms(2'592'000'001);
      },
      [](auto& d) { d.mutable_phases(0)->mutable_gate()->set_approvals(2); },
      [](auto& d) {
        auto* gate = d.mutable_phases(0)->mutable_gate();
        gate->set_manual(true);
        gate->set_approvals(17);
      },
      [](auto& d) {
        auto* gate = d.mutable_phases(0)->mutable_gate();
        gate->set_manual(true);
        gate->set_approvals(2);
        gate->add_approvers("ann");
      },
      [](auto& d) {
        auto* gate = d.mutable_phases(0)->mutable_gate();
        gate->set_manual(true);
        gate->add_approvers("ann");
        gate->add_approvers("ann");
      },
      [](auto& d) {
        for (int i = 0; i < 65; ++i)
          d.mutable_phases(0)->add_groups("g" + std::to_string(i));
      },
      [](auto& d) { d.mutable_phases(0)->add_groups("../x"); },
      [](auto& d) {
        d.mutable_retry()->set_backoff_ms(2000);
        d.mutable_retry()->set_max_backoff_ms(1000);
      },
      [](auto& d) { d.mutable_retry()->set_max_backoff_ms(2'592'000'001); },
      [](auto& d) { d.mutable_activation()->set_released(true); },
      [](auto& d) { d.mutable_activation()->set_not_before(-1); },
      [](auto& d) {
        for (int i = 0; i < 33; ++i) d.mutable_activation()->add_windows();
      },
      [](auto& d) { d.mutable_bandwidth()->set_max_bytes_per_second(4095); },
      [](auto& d) { d.mutable_parallel()->set_renew_ms(1000); },
      [](auto& d) {
        d.mutable_parallel()->set_max(1'000'001);
        d.mutable_parallel()->set_renew_ms(1000);
      },
      [](auto& d) {
        d.mutable_parallel()->set_max(1);
        d.mutable_parallel()->set_renew_ms(999);
      },
      [](auto& d) {
        d.mutable_parallel()->set_max(1);
        d.mutable_parallel()->set_renew_ms(1000);
        d.mutable_parallel()->set_spread_ms(2'592'000'001);
      },
      [](auto& d) {
        d.mutable_parallel()->set_max(1);
        d.mutable_parallel()->set_renew_ms(1000);
        d.mutable_parallel()->set_admitted(kEveryPosition + 1);
      },
      [](auto& d) { d.set_deadline(-1); },
      [](auto& d) { d.set_deadline(d.expires()); },
      [](auto& d) {
        d.set_priority(static_cast<rollout::v1::RolloutPriority>(9));
      },
      [](auto& d) { d.set_only_running_sha256("short"); },
      [](auto& d) { d.set_lost_after_seconds(59); },
      [](auto& d) { d.set_lost_after_seconds(31'536'001); },
      [](auto& d) { d.set_opened_at(-1); },
      [](auto& d) {
        for (int i = 0; i < 65; ++i) d.add_lifted_halts(std::string(32, 'h'));
      },
      [](auto& d) { Accept(d, 7, 1, 0); },  // no such phase
      [](auto& d) { Accept(d, 0, 0, 0); },
      [](auto& d) { Accept(d, 0, 10'000'001, 0); },
      [](auto& d) { Accept(d, 0, 1, -1); },
      [](auto& d) { Accept(d, 0, 1, 253'402'300'800'000); },
      [](auto& d) {
        Accept(d, 0, 1, 1);
        Accept(d, 0, 1, 1);
      },
  };
  EXPECT_OK(ValidateRollout(Document()));
  for (size_t i = 0; i < std::size(wrong); ++i) {
    RolloutDocument document = Document();
    wrong[i](document);
    EXPECT_THAT(ValidateRollout(document), FailsBecause("bad_rollout")) << i;
  }
}

TEST(Promises, SayWhatNeedsThePlane) {
  RolloutDocument document = Document();
  auto* gate = document.mutable_phases(0);
  gate->set_name("first");
  auto* rest = document.add_phases();
  rest->set_name("rest");
  const auto holds = [&](const std::string& name) {
    for (const Promise& promise : PromisesOf(document))
      if (promise.name == name) return promise.holds;
    ADD_FAILURE() << name;
    return false;
  };
  EXPECT_TRUE(holds("gate:first"));
  EXPECT_TRUE(holds("halt"));
  gate->mutable_gate()->set_manual(true);
  EXPECT_FALSE(holds("gate:first"));
  gate->clear_gate();
  document.set_unattended(false);
  EXPECT_FALSE(holds("gate:first"));
  document.mutable_parallel()->set_max(3);
  EXPECT_FALSE(holds("max_parallel"));
}

TEST(Conditions, ThePlaneDoesNotGuessWhatOnlyTheDeviceKnows) {
  RolloutDocument document = Document();
  AddWindow(document.mutable_windows(), 0, 60);
  document.set_consent(true);
  for (const Condition& condition :
       StartConditions(document, Input(), Viewpoint::kPlane)) {
    EXPECT_NE(condition.state, Condition::State::kUnmet) << condition.name;
    if (condition.name == "window" || condition.name == "consent" ||
        condition.name == "attempts") {
      EXPECT_EQ(condition.state, Condition::State::kUnknown);
    }
  }
}

}  // namespace
}  // namespace shoal::rules
