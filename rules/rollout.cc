#include "rules/rollout.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "common/bytes.h"
#include "common/status.h"
#include "rules/position.h"
#include "rules/selector.h"

namespace shoal::rules {
namespace {

using rollout::v1::Gate;
using rollout::v1::Phase;
using rollout::v1::RolloutDocument;

constexpr int kMaxPhases = 32;
constexpr int kMaxWindows = 32;
constexpr uint64_t kEveryPosition = uint64_t{1} << 32;
constexpr int64_t kMaxSoakMs = int64_t{30} * 24 * 3600 * 1000;
constexpr uint32_t kSampleSize = 20;
constexpr uint32_t kMaxAttempts = 10;
constexpr uint32_t kDefaultAttempts = 3;
constexpr absl::Duration kDefaultBackoff = absl::Minutes(1);

absl::Status Bad(const std::string& what) {
  return InvalidArgument("bad_rollout", what);
}

absl::Status ValidatePhases(const RolloutDocument& document) {
  if (document.phases().empty() || document.phases_size() > kMaxPhases)
    return Bad(fmt::format("a rollout has 1 to {} phases", kMaxPhases));
  uint64_t last = 0;
  std::set<std::string_view> names;
  for (const Phase& phase : document.phases()) {
    if (!IsIdentifier(phase.name()))
      return Bad(
          fmt::format("phase name \"{}\" is not an identifier", phase.name()));
    if (!names.insert(phase.name()).second)
      return Bad(fmt::format("two phases are named \"{}\"", phase.name()));
    if (phase.threshold() < last || phase.threshold() > kEveryPosition)
      return Bad(
          fmt::format("phase {}: thresholds never fall and are at most "
                      "2^32",
                      phase.name()));
    last = phase.threshold();
    const Gate& gate = phase.gate();
    if (gate.soak_ms() < 0 || gate.soak_ms() > kMaxSoakMs)
      return Bad(
          fmt::format("phase {}: soak is from 0 to 30 days", phase.name()));
    if (gate.success_permille() > 1000)
      return Bad(fmt::format("phase {}: success_permille is at most 1000",
                             phase.name()));
  }
  if (last != kEveryPosition)
    return Bad(
        "the last phase must include every selected device "
        "(threshold 2^32)");
  if (document.open_phase() >= static_cast<uint32_t>(document.phases_size()))
    return Bad("open_phase is not one of the phases");
  return absl::OkStatus();
}

absl::Time Milliseconds(int64_t ms) { return absl::FromUnixMillis(ms); }

bool GoodSample(const RolloutDocument& document, const Phase& phase,
                const OutcomeCount& count) {
  return count.total() >= std::min(kSampleSize, phase.expected_devices()) &&
         count.succeeded >= 1 && !TooManyFailures(document, count);
}

bool IsTimeGate(const Gate& gate) {
  return !gate.manual() && gate.success_permille() == 0 &&
         gate.min_outcomes() == 0;
}

}  // namespace

absl::Status ValidateRollout(const RolloutDocument& document) {
  if (!IsIdentifier(document.id()))
    return Bad(fmt::format("id \"{}\" is not an identifier", document.id()));
  if (document.version() == 0) return Bad("version must be at least 1");
  if (document.fleet().size() != 32) return Bad("fleet must be 32 bytes");
  if (!IsIdentifier(document.device_type()))
    return Bad(fmt::format("device type \"{}\" is not an identifier",
                           document.device_type()));
  if (document.release().sha256().size() != 32 ||
      document.release().image_target().empty() ||
      document.release().length() == 0)
    return Bad("the release needs image target, sha256 and length");
  if (document.error_threshold_permille() > 1000)
    return Bad("error_threshold_permille is at most 1000");
  if (document.retry().max_attempts() > kMaxAttempts)
    return Bad(fmt::format("at most {} attempts", kMaxAttempts));
  if (document.retry().backoff_ms() < 0) return Bad("backoff is negative");
  SHOAL_RETURN_IF_ERROR(ValidateSelector(document.selector()));
  if (document.windows_size() > kMaxWindows)
    return Bad(fmt::format("at most {} windows", kMaxWindows));
  for (const auto& window : document.windows())
    SHOAL_RETURN_IF_ERROR(ValidateWindow(window));
  return ValidatePhases(document);
}

int PhaseOf(const RolloutDocument& document, const DeviceFacts& device) {
  if (device.device_type != document.device_type()) return -1;
  if (!Matches(document.selector(), device)) return -1;
  const uint64_t position = Position(document.id(), device.id);
  for (int i = 0; i < document.phases_size(); ++i) {
    const Phase& phase = document.phases(i);
    if (position < phase.threshold()) return i;
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

bool TooManyFailures(const RolloutDocument& document,
                     const OutcomeCount& count) {
  if (count.failed == 0) return false;
  const uint64_t threshold =
      std::max<uint32_t>(1, document.error_threshold_permille());
  return uint64_t{count.failed} * 1000 >= threshold * count.total();
}

GateDecision EvaluateGate(const RolloutDocument& document, int phase,
                          const OutcomeCount& count, bool approved,
                          absl::Time now) {
  const Gate& gate = document.phases(phase).gate();
  if (TooManyFailures(document, count))
    return {GateAnswer::kHalt, "error_threshold"};
  if (now < Milliseconds(document.opened_at() + gate.soak_ms()))
    return {GateAnswer::kWait, "soaking"};
  // Proof before growth: no gate opens on silence.
  const uint32_t wanted = std::max(
      gate.min_outcomes(),
      std::min(kSampleSize, document.phases(phase).expected_devices()));
  if (count.total() < wanted) return {GateAnswer::kWait, "too_few_outcomes"};
  if (uint64_t{count.succeeded} * 1000 <
      uint64_t{gate.success_permille()} * count.total())
    return {GateAnswer::kWait, "success_ratio"};
  if (gate.manual() && !approved) return {GateAnswer::kWait, "needs_approval"};
  return {GateAnswer::kOpen, "ok"};
}

int UnattendedOpenPhase(const RolloutDocument& document,
                        const std::vector<OutcomeCount>& samples,
                        absl::Time now) {
  int open = static_cast<int>(document.open_phase());
  if (!document.unattended()) return open;
  int64_t opened_at = document.opened_at();
  bool proven = false;
  while (open + 1 < document.phases_size()) {
    const Phase& phase = document.phases(open);
    if (!IsTimeGate(phase.gate())) return open;
    if (now < Milliseconds(opened_at + phase.gate().soak_ms())) return open;
    const size_t index = static_cast<size_t>(open);
    const OutcomeCount count =
        index < samples.size() ? samples[index] : OutcomeCount{};
    if (phase.expected_devices() == 0 && count.total() == 0) {
      if (!proven) return open;
    } else if (!GoodSample(document, phase, count)) {
      return open;
    } else {
      proven = true;
    }
    opened_at += phase.gate().soak_ms();
    ++open;
  }
  return open;
}

StartDecision MayStart(const RolloutDocument& document,
                       const StartInput& input) {
  StartDecision decision;
  const auto no = [&decision](std::string reason) {
    decision.reason = std::move(reason);
    return decision;
  };
  if (document.state() != rollout::v1::ROLLOUT_STATE_ACTIVE)
    return no("rollout_not_active");
  if (input.halted) return no("halted");
  if (input.now >= absl::FromUnixSeconds(document.expires()))
    return no("rollout_expired");
  if (document.fleet() != input.fleet_id) return no("wrong_fleet");
  if (document.device_type() != input.device.device_type)
    return no("wrong_device_type");
  decision.phase = PhaseOf(document, input.device);
  if (decision.phase < 0) return no("not_selected");
  const int open = UnattendedOpenPhase(document, input.samples, input.now);
  if (decision.phase > open) {
    int64_t at = document.opened_at();
    for (int i = static_cast<int>(document.open_phase()); i <= open; ++i)
      at += document.phases(i).gate().soak_ms();
    decision.retry_at = Milliseconds(at);
    return no("phase_closed");
  }
  const uint32_t max_attempts = document.retry().max_attempts() == 0
                                    ? kDefaultAttempts
                                    : document.retry().max_attempts();
  if (input.attempts.count >= max_attempts) return no("attempts_exhausted");
  if (input.attempts.count > 0) {
    const absl::Duration first =
        document.retry().backoff_ms() == 0
            ? kDefaultBackoff
            : absl::Milliseconds(document.retry().backoff_ms());
    const absl::Time next =
        input.attempts.last + first * (1 << (input.attempts.count - 1));
    if (input.now < next) {
      decision.retry_at = next;
      return no("backoff");
    }
  }
  const auto& windows = document.windows();
  if (!windows.empty() &&
      std::none_of(windows.begin(), windows.end(), [&](const auto& window) {
        return InWindow(window, input.local);
      }))
    return no("outside_window");
  decision.start = true;
  decision.reason = "ok";
  return decision;
}

}  // namespace shoal::rules
