#include "rules/conditions.h"

#include <fmt/format.h>

#include <utility>

#include "rules/calendar.h"
#include "rules/parallel.h"
#include "rules/selector.h"

namespace shoal::rules {
namespace {

using rollout::v1::RolloutDocument;
using State = Condition::State;

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

// Collects conditions. The ones that a deadline waives are met once it passed.
class Collector {
 public:
  Collector(const RolloutDocument& document, const StartInput& input,
            Viewpoint viewpoint)
      : input_(input),
        plane_(viewpoint == Viewpoint::kPlane),
        waived_(document.deadline() > 0 &&
                input.now >= absl::FromUnixSeconds(document.deadline())) {}

  // False when not met.
  bool Add(std::string name, bool met, std::string reason, std::string text,
           absl::Time retry_at = absl::InfiniteFuture()) {
    list_.push_back({std::move(name), met ? State::kMet : State::kUnmet,
                     std::move(reason), std::move(text),
                     met ? absl::InfiniteFuture() : retry_at});
    return met;
  }
  // One that only the device can judge.
  void AddOwn(std::string name, bool met, std::string reason, std::string text,
              absl::Time retry_at = absl::InfiniteFuture()) {
    Add(std::move(name), met || plane_, std::move(reason), std::move(text),
        retry_at);
    if (plane_) list_.back().state = State::kUnknown;
  }
  void AddWaivable(std::string name, bool met, std::string reason,
                   std::string text,
                   absl::Time retry_at = absl::InfiniteFuture()) {
    if (waived_) text += "; the deadline has passed";
    Add(std::move(name), met || waived_, std::move(reason), std::move(text),
        retry_at);
  }
  void AddOwnWaivable(std::string name, bool met, std::string reason,
                      std::string text,
                      absl::Time retry_at = absl::InfiniteFuture()) {
    if (waived_) {
      AddWaivable(std::move(name), met, std::move(reason), std::move(text));
    } else {
      AddOwn(std::move(name), met, std::move(reason), std::move(text),
             retry_at);
    }
  }
  std::vector<Condition> Take() { return std::move(list_); }
  const StartInput& input() const { return input_; }

 private:
  const StartInput& input_;
  const bool plane_;
  const bool waived_;
  std::vector<Condition> list_;
};

// What holds for every start. False: the rest is meaningless.
bool AddStanding(const RolloutDocument& document, Collector& out) {
  const StartInput& input = out.input();
  if (!out.Add("agent", document.rules_level() <= kRulesLevel, "agent_too_old",
               fmt::format("the document needs rules of level {}, known is {}",
                           document.rules_level(), kRulesLevel)))
    return false;
  std::string state = rollout::v1::RolloutState_Name(document.state());
  out.Add("state", document.state() == rollout::v1::ROLLOUT_STATE_ACTIVE,
          "rollout_not_active",
          fmt::format("the document (version {}) says {}", document.version(),
                      state));
  out.Add("halt", !input.halted, "halted",
          input.halted ? "a halt stands that the document does not lift"
                       : "no halt stands");
  const absl::Time expires = absl::FromUnixSeconds(document.expires());
  out.Add("expiry", input.now < expires, "rollout_expired",
          fmt::format("nothing starts from {} on", TimeText(expires)));
  if (!out.Add("fleet", document.fleet() == input.fleet_id, "wrong_fleet",
               "the document names its fleet"))
    return false;
  return out.Add("device_type",
                 document.device_type() == input.device.device_type,
                 "wrong_device_type",
                 fmt::format("the rollout is for {}, the device is a {}",
                             document.device_type(), input.device.device_type));
}

void AddPostponed(const RolloutDocument& document, Collector& out) {
  if (!document.optional()) return;
  const absl::Time until = out.input().postponed_until;
  const bool postponed = out.input().now < until;
  out.AddOwnWaivable("postponed", !postponed, "postponed",
                     postponed ? "the owner put it off until " + TimeText(until)
                               : "the owner may put it off and did not",
                     until);
}

// When phase `phase` may open by itself at the earliest.
absl::Time EarliestOpening(const RolloutDocument& document, int open) {
  int64_t at = document.opened_at();
  for (int i = static_cast<int>(document.open_phase()); i <= open; ++i)
    at += document.phases(i).gate().soak_ms();
  return absl::FromUnixMillis(at);
}

void AddPhase(const RolloutDocument& document, int phase, Collector& out) {
  const StartInput& input = out.input();
  const int open = UnattendedOpenPhase(document, input.samples, input.now);
  const std::string open_name = document.phases(open).name();
  out.Add("phase", phase <= open, "phase_closed",
          fmt::format("the device is in phase {} ({}), open up to {} ({})",
                      phase, document.phases(phase).name(), open, open_name),
          EarliestOpening(document, open));
}

void AddRetry(const RolloutDocument& document, Collector& out) {
  const Attempts& attempts = out.input().attempts;
  const uint32_t most = MaxAttempts(document);
  out.AddOwn("attempts", attempts.count < most, "attempts_exhausted",
             fmt::format("{} of {} tries are used", attempts.count, most));
  if (attempts.count == 0) return;
  const absl::Time next = attempts.last + PauseAfter(document, attempts.count);
  // A try that lies in the future: the clock went back, and how long ago it
  // was can't be said. The number of tries still bounds them.
  out.AddOwn("backoff",
             out.input().now >= next || attempts.last > out.input().now,
             "backoff", "the next try is due at " + TimeText(next), next);
}

std::string LocalText(const LocalTime& local) {
  return fmt::format("the device's time is {:02}:{:02} on weekday {}, date {}",
                     local.minute / 60, local.minute % 60, local.weekday,
                     local.date);
}

void AddLink(const RolloutDocument& document, Collector& out) {
  if (document.bandwidth().unmetered_only())
    out.AddOwnWaivable("link", !out.input().metered, "metered_link",
                       out.input().metered
                           ? "downloads want an unmetered link, this is metered"
                           : "downloads want an unmetered link");
}

StartDecision Decide(const std::vector<Condition>& conditions) {
  StartDecision decision;
  for (const Condition& condition : conditions) {
    if (condition.state != State::kUnmet) continue;
    decision.reason = condition.reason;
    decision.retry_at = condition.retry_at;
    return decision;
  }
  decision.start = true;
  decision.reason = "ok";
  return decision;
}

int PhaseIfReadable(const RolloutDocument& document, const StartInput& input) {
  return document.rules_level() > kRulesLevel ||
                 document.fleet() != input.fleet_id
             ? -1
             : PhaseFor(document, input.device, input.began_in);
}

}  // namespace

std::vector<Condition> StartConditions(const RolloutDocument& document,
                                       const StartInput& input,
                                       Viewpoint viewpoint) {
  Collector out(document, input, viewpoint);
  if (!AddStanding(document, out)) return out.Take();
  const int phase = PhaseFor(document, input.device, input.began_in);
  if (!out.Add("selected", phase >= 0, "not_selected",
               phase >= 0 ? "the rollout selects the device"
                          : "the rollout does not select the device"))
    return out.Take();
  if (!document.only_running_sha256().empty())
    out.Add("running_image",
            document.only_running_sha256() == input.running_sha256,
            "other_image", "only devices that run a certain image take part");
  AddPhase(document, phase, out);
  AddRetry(document, out);
  if (document.has_parallel()) {
    const absl::Time at = AdmittedAt(document, input.device.id);
    out.AddWaivable(
        "parallel", at <= input.now, "not_admitted",
        fmt::format("at most {} devices at once; {}", document.parallel().max(),
                    at == absl::InfinitePast() ? "this one is admitted"
                    : at == absl::InfiniteFuture()
                        ? "the plane admits more"
                        : "without a plane from " + TimeText(at)),
        at);
  }
  if (document.windows_size() > 0 || document.calendar().excluded_size() > 0)
    out.AddOwnWaivable(
        "window",
        InCalendar(document.windows(), document.calendar(), input.local),
        "outside_window", LocalText(input.local));
  AddLink(document, out);
  if (document.consent())
    out.AddOwnWaivable("consent", input.consented, "needs_consent",
                       input.consented ? "somebody at the device consented"
                                       : "nobody at the device consented yet");
  AddPostponed(document, out);
  return out.Take();
}

std::vector<Condition> ActivationConditions(const RolloutDocument& document,
                                            const StartInput& input,
                                            Viewpoint viewpoint) {
  Collector out(document, input, viewpoint);
  if (!AddStanding(document, out)) return out.Take();
  const rollout::v1::Activation& activation = document.activation();
  if (activation.not_before() > 0) {
    const absl::Time at = absl::FromUnixMillis(activation.not_before());
    out.AddWaivable("activation_time", input.now >= at, "activation_not_yet",
                    "no image is started before " + TimeText(at), at);
  }
  if (activation.hold())
    out.AddWaivable("activation_hold", activation.released(), "activation_held",
                    activation.released()
                        ? "an operator released the activation"
                        : "an operator releases the activation");
  if (activation.windows_size() > 0 || document.calendar().excluded_size() > 0)
    out.AddOwnWaivable(
        "activation_window",
        InCalendar(activation.windows(), document.calendar(), input.local),
        "outside_activation_window", LocalText(input.local));
  AddPostponed(document, out);
  return out.Take();
}

StartDecision MayStart(const RolloutDocument& document,
                       const StartInput& input) {
  StartDecision decision = Decide(StartConditions(document, input));
  decision.phase = PhaseIfReadable(document, input);
  return decision;
}

StartDecision MayActivate(const RolloutDocument& document,
                          const StartInput& input) {
  StartDecision decision = Decide(ActivationConditions(document, input));
  decision.phase = PhaseIfReadable(document, input);
  return decision;
}

bool IsOver(const RolloutDocument& document, absl::Time now) {
  return document.state() == rollout::v1::ROLLOUT_STATE_FINISHED ||
         document.state() == rollout::v1::ROLLOUT_STATE_FAILED ||
         document.state() == rollout::v1::ROLLOUT_STATE_ABORTED ||
         now >= absl::FromUnixSeconds(document.expires());
}

}  // namespace shoal::rules
