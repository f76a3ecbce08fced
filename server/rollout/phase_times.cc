#include "server/rollout/phase_times.h"

#include <algorithm>
#include <utility>

#include "rules/calendar.h"
#include "rules/outcomes.h"
#include "rules/parallel.h"
#include "server/rollout/driver_steps.h"

namespace shoal::server {
namespace {

using rollout::v1::RolloutDocument;

constexpr absl::Time kNever = PhaseTimes::kNever;
// So far ahead a window is looked for.
constexpr int kDaysAhead = 60;

rules::LocalTime UtcAt(absl::Time time) {
  const absl::CivilMinute civil =
      absl::ToCivilMinute(time, absl::UTCTimeZone());
  rules::LocalTime local;
  local.weekday = static_cast<int>(absl::GetWeekday(absl::CivilDay(civil))) + 1;
  local.minute = civil.hour() * 60 + civil.minute();
  local.date = static_cast<int>(civil.year()) * 10000 + civil.month() * 100 +
               civil.day();
  return local;
}

// The first moment from `from` on at which a window is open.
absl::Time NextOpening(const RolloutDocument& document,
                       const rules::Windows& windows, absl::Time from) {
  const auto& calendar = document.calendar();
  if (from == kNever || (windows.empty() && calendar.excluded().empty()))
    return from;
  if (document.deadline() > 0 &&
      from >= absl::FromUnixSeconds(document.deadline()))
    return from;
  if (rules::InCalendar(windows, calendar, UtcAt(from))) return from;
  // It opens at midnight or where one of the windows begins.
  std::vector<int> minutes = {0};
  for (const auto& window : windows)
    minutes.push_back(static_cast<int>(window.from_minute()));
  std::sort(minutes.begin(), minutes.end());
  const absl::CivilDay first = absl::ToCivilDay(from, absl::UTCTimeZone());
  for (int day = 0; day < kDaysAhead; ++day) {
    for (const int minute : minutes) {
      const absl::Time at = absl::FromCivil(first + day, absl::UTCTimeZone()) +
                            absl::Minutes(minute);
      if (at > from && rules::InCalendar(windows, calendar, UtcAt(at)))
        return at;
    }
  }
  return kNever;
}

// One rollout's arithmetic.
class Estimate {
 public:
  Estimate(const store::RolloutRow& row,
           const std::vector<rules::OutcomeCount>& counts,
           const std::vector<absl::Time>& last_answers,
           const policy::v1::AccessPolicy& policy, absl::Time now)
      : row_(row),
        document_(row.rollout().document()),
        counts_(counts),
        last_answers_(last_answers),
        policy_(policy),
        // So that nothing changes with every second.
        now_(absl::FromUnixSeconds((absl::ToUnixSeconds(now) / 60 + 1) * 60)),
        device_time_(absl::Seconds(std::max(1u, row.device_seconds()))) {}

  std::vector<PhaseTimes> Phases() {
    std::vector<PhaseTimes> times;
    const int open = static_cast<int>(document_.open_phase());
    for (int i = 0; i < document_.phases_size(); ++i) {
      if (i <= open && row_.document_signed()) {
        Measure(i);
        times.push_back(OpenPhase(i));
      } else {
        times.push_back(ClosedPhase(i, i == 0 ? PhaseTimes() : times.back()));
      }
    }
    return times;
  }

 private:
  bool Active() const {
    return row_.rollout().state() == rollout::v1::ROLLOUT_STATE_ACTIVE;
  }
  const rules::OutcomeCount& Count(int phase) const {
    return counts_[static_cast<size_t>(phase)];
  }
  absl::Time OpenedAt(int phase) const {
    return phase < row_.phase_opened_at_size()
               ? absl::FromUnixMillis(row_.phase_opened_at(phase))
               : absl::FromUnixMillis(document_.opened_at());
  }
  // Of the devices, who is expected to answer, and who did for good.
  uint32_t Able(int phase) const {
    const uint32_t expected = document_.phases(phase).expected_devices();
    return expected - std::min(expected, Count(phase).lost + Count(phase).gone);
  }
  uint32_t Answered(int phase) const {
    const rules::OutcomeCount& count = Count(phase);
    return count.total() - std::min(count.total(), count.trying) +
           count.refused;
  }
  absl::Duration Rounds(uint32_t devices, absl::Duration each) const {
    return document_.has_parallel()
               ? rules::SpreadOf(devices, document_.parallel().max(), each)
               : each;
  }
  // Time from the first start in the phase until all have answered, by those
  // who did; zero: nothing to go by.
  absl::Duration Measured(int phase) const {
    const absl::Time began =
        NextOpening(document_, document_.windows(), OpenedAt(phase));
    const absl::Time last = last_answers_[static_cast<size_t>(phase)];
    if (Answered(phase) == 0 || last <= began) return absl::ZeroDuration();
    return (last - began) * Able(phase) / Answered(phase);
  }
  // How long one device really takes, for the phases to come.
  void Measure(int phase) {
    const absl::Duration whole = Measured(phase);
    if (whole == absl::ZeroDuration()) return;
    const int64_t rounds =
        Rounds(Able(phase), absl::Seconds(1)) / absl::Seconds(1);
    device_time_ = whole / std::max<int64_t>(1, rounds);
  }

  // When devices of the phase that begin at `from` have answered.
  PhaseTimes Work(int phase, absl::Time from) const {
    PhaseTimes times;
    times.opens = from;
    const uint32_t devices = Able(phase);
    const auto& activation = document_.activation();
    if (devices == 0) {
      times.answered = from;
      return times;
    }
    if (activation.hold() && !activation.released()) {
      times.waits_for = "activation_held";
      return times;
    }
    absl::Time done = NextOpening(document_, document_.windows(), from);
    if (done != kNever) done += Rounds(devices, device_time_);
    done = std::max(done, absl::FromUnixMillis(activation.not_before()));
    if (!activation.windows().empty())
      done = NextOpening(document_, activation.windows(), done);
    if (done == kNever) times.waits_for = "outside_window";
    times.answered = done;
    return times;
  }

  PhaseTimes OpenPhase(int phase) const {
    PhaseTimes times;
    times.opens = OpenedAt(phase);
    if (Answered(phase) >= Able(phase)) {
      times.answered =
          std::max(times.opens, last_answers_[static_cast<size_t>(phase)]);
      return times;
    }
    if (!Active()) {
      times.waits_for = "rollout_not_active";
      return times;
    }
    if (const absl::Duration whole = Measured(phase);
        whole > absl::ZeroDuration()) {
      times.answered = std::max(
          now_,
          NextOpening(document_, document_.windows(), times.opens) + whole);
      return times;
    }
    PhaseTimes work = Work(phase, times.opens);
    // Longer than one takes, and nobody answered.
    if (work.answered < now_) {
      work.answered = kNever;
      work.waits_for = "devices_at_work";
    }
    return work;
  }

  PhaseTimes ClosedPhase(int phase, const PhaseTimes& before) const {
    PhaseTimes times;
    if (!Active()) {
      times.waits_for = "rollout_not_active";
      return times;
    }
    if (phase == 0) return times;
    const auto& gate = document_.phases(phase - 1).gate();
    if (gate.manual() &&
        !rules::Approved(
            gate, ApproversOf(row_, static_cast<uint32_t>(phase), policy_))) {
      times.waits_for = "needs_approval";
      return times;
    }
    if (before.opens == kNever) {
      times.waits_for = "earlier_phase";
      return times;
    }
    const absl::Time enough = EnoughAt(phase - 1, before);
    if (enough == kNever) {
      times.waits_for =
          before.waits_for.empty() ? "success_ratio" : before.waits_for;
      return times;
    }
    const absl::Time opens =
        std::max({now_, before.opens + absl::Milliseconds(gate.soak_ms()),
                  enough + absl::Milliseconds(gate.settle_ms())});
    if (opens >= absl::FromUnixSeconds(document_.expires())) {
      times.waits_for = "expired";
      return times;
    }
    return Work(phase, opens);
  }

  // When the outcomes of a phase are enough for the gate behind it.
  absl::Time EnoughAt(int phase, const PhaseTimes& times) const {
    const uint32_t accepted = phase < row_.accepted_failures_size()
                                  ? row_.accepted_failures(phase)
                                  : 0;
    const rules::OutcomeCount count =
        rules::WithoutAccepted(Count(phase), accepted);
    const uint32_t wanted = rules::OutcomesWanted(document_, phase, count);
    if (rules::EnoughOutcomes(document_, phase, count))
      return row_.enough_since() > 0
                 ? absl::FromUnixMillis(row_.enough_since())
                 : std::max(times.opens,
                            last_answers_[static_cast<size_t>(phase)]);
    // There are enough, and they are not good enough; or too few are left.
    if (count.total() >= wanted || wanted > Able(phase)) return kNever;
    if (times.answered == kNever) return kNever;
    return times.opens +
           (times.answered - times.opens) * wanted / std::max(1u, Able(phase));
  }

  const store::RolloutRow& row_;
  const RolloutDocument& document_;
  const std::vector<rules::OutcomeCount>& counts_;
  const std::vector<absl::Time>& last_answers_;
  const policy::v1::AccessPolicy& policy_;
  const absl::Time now_;
  absl::Duration device_time_;
};

}  // namespace

std::vector<PhaseTimes> TimesOf(const store::RolloutRow& row,
                                const std::vector<rules::OutcomeCount>& counts,
                                const std::vector<absl::Time>& last_answers,
                                const policy::v1::AccessPolicy& policy,
                                absl::Time now) {
  return Estimate(row, counts, last_answers, policy, now).Phases();
}

}  // namespace shoal::server
