#include "rules/rollout.h"

#include <algorithm>
#include <set>

#include "rules/position.h"
#include "rules/selector.h"

namespace shoal::rules {
namespace {

using rollout::v1::Gate;
using rollout::v1::Phase;
using rollout::v1::RolloutDocument;

// Outcomes on which a gate opens, and those that a share of failures is at
// least taken of; of a smaller phase, all.
constexpr uint32_t kSampleSize = 20;
constexpr uint32_t kFailureSampleSize = 10;
constexpr uint32_t kDefaultAttempts = 3;
constexpr absl::Duration kDefaultBackoff = absl::Minutes(1);

absl::Time Milliseconds(int64_t ms) { return absl::FromUnixMillis(ms); }

// The outcomes have been enough for as long as the gate asks.
bool Settled(const Gate& gate, const OutcomeCount& count, absl::Time now) {
  return gate.settle_ms() == 0 ||
         (count.enough_since <= now &&
          now - count.enough_since >= absl::Milliseconds(gate.settle_ms()));
}

uint32_t FailureSample(const RolloutDocument& document, int phase) {
  return std::min(kFailureSampleSize,
                  document.phases(phase).expected_devices());
}

// Of the phase's devices, those of which an answer can be expected.
uint32_t AbleToAnswer(const RolloutDocument& document, int phase,
                      const OutcomeCount& count) {
  const uint32_t expected = document.phases(phase).expected_devices();
  const uint32_t able =
      expected - std::min(expected, count.refused + count.gone);
  // A sample of a large phase has room for those who are silent. Of a small one
  // half at least must have spoken.
  if (able > kSampleSize || count.lost == 0) return able;
  return std::max((able + 1) / 2, able - std::min(able, count.lost));
}

uint32_t SampleWanted(const RolloutDocument& document, int phase,
                      const OutcomeCount& count) {
  const uint32_t least = document.phases(phase).expected_devices() > 0;
  return std::max(least,
                  std::min(kSampleSize, AbleToAnswer(document, phase, count)));
}

// When the sample of a phase was enough, by the clocks of those who answered. A
// clock that is ahead of ours says nothing: one device must not keep a phase
// shut.
absl::Time EnoughAt(const RolloutDocument& document, int phase,
                    const OutcomeCount& count, absl::Time now) {
  const uint32_t wanted = SampleWanted(document, phase, count);
  if (wanted == 0) return absl::InfinitePast();
  if (count.answered_at.size() < wanted) return now;
  const auto past =
      static_cast<size_t>(std::upper_bound(count.answered_at.begin(),
                                           count.answered_at.end(), now) -
                          count.answered_at.begin());
  return past == 0 ? now
                   : count.answered_at[std::min<size_t>(wanted, past) - 1];
}

uint64_t CeilDivide(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

bool IsTimeGate(const Gate& gate) {
  return !gate.manual() && gate.success_permille() == 0 &&
         gate.min_outcomes() == 0;
}

}  // namespace

int PhaseOf(const RolloutDocument& document, const DeviceFacts& device) {
  if (device.device_type != document.device_type()) return -1;
  if (!Matches(document.selector(), device)) return -1;
  const uint64_t position = Position(document.id(), device.id);
  for (int i = 0; i < document.phases_size(); ++i) {
    const Phase& phase = document.phases(i);
    if (position < phase.threshold()) return i;
    if (std::any_of(phase.groups().begin(), phase.groups().end(),
                    [&](const std::string& group) {
                      return device.groups.contains(group);
                    }))
      return i;
    if (phase.labels().empty()) continue;
    const bool labelled = std::all_of(
        phase.labels().begin(), phase.labels().end(), [&](const auto& label) {
          auto found = device.labels.find(label.first);
          return found != device.labels.end() && found->second == label.second;
        });
    if (labelled) return i;
  }
  return -1;
}

int PhaseFor(const RolloutDocument& document, const DeviceFacts& device,
             int began_in) {
  return began_in >= 0 && began_in < document.phases_size() &&
                 device.device_type == document.device_type()
             ? began_in
             : PhaseOf(document, device);
}

bool TooManyFailures(const RolloutDocument& document, int phase,
                     const OutcomeCount& count) {
  if (count.failed == 0) return false;
  const uint64_t share_of = std::max(uint64_t{count.succeeded} + count.failed,
                                     uint64_t{FailureSample(document, phase)});
  return uint64_t{count.failed} * 1000 >=
         document.error_threshold_permille() * share_of;
}

uint32_t FailuresThatHalt(const RolloutDocument& document, int phase,
                          const OutcomeCount& count) {
  // f failures are too many when 1000 f >= t sample and 1000 f >= t (s + f).
  const uint64_t t = document.error_threshold_permille();
  if (t >= 1000 && count.succeeded > 0) return 0;
  const uint64_t of_sample =
      CeilDivide(t * FailureSample(document, phase), 1000);
  const uint64_t of_outcomes =
      t >= 1000 ? 0 : CeilDivide(t * count.succeeded, 1000 - t);
  return static_cast<uint32_t>(std::max({uint64_t{1}, of_sample, of_outcomes}));
}

bool GoodSample(const RolloutDocument& document, int phase,
                const OutcomeCount& count) {
  return count.total() >= SampleWanted(document, phase, count) &&
         count.succeeded >= 1 && !TooManyFailures(document, phase, count);
}

uint32_t OutcomesWanted(const RolloutDocument& document, int phase,
                        const OutcomeCount& count) {
  return std::max(document.phases(phase).gate().min_outcomes(),
                  SampleWanted(document, phase, count));
}

bool EnoughOutcomes(const RolloutDocument& document, int phase,
                    const OutcomeCount& count) {
  return count.total() >= OutcomesWanted(document, phase, count) &&
         uint64_t{count.succeeded} * 1000 >=
             uint64_t{document.phases(phase).gate().success_permille()} *
                 count.judged() &&
         !TooManyFailures(document, phase, count);
}

bool Approved(const Gate& gate, const std::set<std::string>& approvers) {
  const uint32_t wanted = std::max<uint32_t>(1, gate.approvals());
  if (gate.approvers().empty()) return approvers.size() >= wanted;
  return static_cast<uint32_t>(std::count_if(gate.approvers().begin(),
                                             gate.approvers().end(),
                                             [&](const std::string& name) {
                                               return approvers.contains(name);
                                             })) >= wanted;
}

uint32_t MaxAttempts(const RolloutDocument& document) {
  return document.retry().max_attempts() == 0 ? kDefaultAttempts
                                              : document.retry().max_attempts();
}

absl::Duration PauseAfter(const RolloutDocument& document, uint32_t attempts) {
  const auto& retry = document.retry();
  const absl::Duration first = retry.backoff_ms() == 0
                                   ? kDefaultBackoff
                                   : absl::Milliseconds(retry.backoff_ms());
  const absl::Duration pause =
      attempts == 0 ? absl::ZeroDuration()
                    : first * (1 << (std::min<uint32_t>(attempts, 20) - 1));
  return retry.max_backoff_ms() == 0
             ? pause
             : std::min(pause, absl::Milliseconds(retry.max_backoff_ms()));
}

GateDecision EvaluateGate(const RolloutDocument& document, int phase,
                          const OutcomeCount& count, bool approved,
                          absl::Time now) {
  const Gate& gate = document.phases(phase).gate();
  if (TooManyFailures(document, phase, count))
    return {GateAnswer::kHalt, "error_threshold"};
  if (now < Milliseconds(document.opened_at() + gate.soak_ms()))
    return {GateAnswer::kWait, "soaking"};
  // Proof before growth: no gate opens on silence.
  if (count.total() < OutcomesWanted(document, phase, count))
    return {GateAnswer::kWait, "too_few_outcomes"};
  if (uint64_t{count.succeeded} * 1000 <
      uint64_t{gate.success_permille()} * count.judged())
    return {GateAnswer::kWait, "success_ratio"};
  if (!Settled(gate, count, now)) return {GateAnswer::kWait, "settling"};
  if (gate.manual() && !approved) return {GateAnswer::kWait, "needs_approval"};
  return {GateAnswer::kOpen, "ok"};
}

int UnattendedOpenPhase(const RolloutDocument& document,
                        const std::vector<OutcomeCount>& samples,
                        absl::Time now) {
  int open = static_cast<int>(document.open_phase());
  if (!document.unattended()) return open;
  const auto sample = [&samples](int phase) {
    const size_t i = static_cast<size_t>(phase);
    return i < samples.size() ? samples[i] : OutcomeCount{};
  };
  for (int i = 0; i < open; ++i)
    if (TooManyFailures(document, i, sample(i))) return open;
  absl::Time opened_at = Milliseconds(document.opened_at());
  bool proven = false;
  while (open + 1 < document.phases_size()) {
    const Phase& phase = document.phases(open);
    if (!IsTimeGate(phase.gate())) return open;
    opened_at += absl::Milliseconds(phase.gate().soak_ms());
    if (now < opened_at) return open;
    const OutcomeCount count = sample(open);
    if (phase.expected_devices() == 0 && count.total() == 0) {
      if (!proven) return open;
    } else if (!GoodSample(document, open, count) ||
               !Settled(phase.gate(), count, now)) {
      return open;
    } else {
      proven = true;
      opened_at =
          std::max(opened_at, EnoughAt(document, open, count, now) +
                                  absl::Milliseconds(phase.gate().settle_ms()));
    }
    ++open;
  }
  return open;
}

}  // namespace shoal::rules
