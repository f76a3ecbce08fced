// A rollout as the device decides it, from the signed document alone, and its
// gates as plane and device see them (docs/rollouts.md).
#ifndef SHOAL_RULES_ROLLOUT_H_
#define SHOAL_RULES_ROLLOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rules/facts.h"
#include "shoal/rollout/v1/document.pb.h"

namespace shoal::rules {

// Outcomes known of one phase: each device counted once.
struct OutcomeCount {
  uint32_t succeeded = 0;
  uint32_t failed = 0;
  uint32_t refused = 0;  // did not try: counts for no gate
  uint32_t total() const { return succeeded + failed; }
};

// kInvalidArgument "bad_rollout". Limits: id and names identifiers; 1 to 32
// phases with thresholds that never fall, the last one 2^32; soak at most 30
// days; open_phase one of them; fleet 32 bytes; sha256 32 bytes.
absl::Status ValidateRollout(const rollout::v1::RolloutDocument& document);

// The first phase that includes the device: by its labels or by its position.
// -1: the selector does not select it.
int PhaseOf(const rollout::v1::RolloutDocument& document,
            const DeviceFacts& device);

// Is the share of failures at or above the document's error threshold? A
// threshold of 0 means that any failure is too much.
bool TooManyFailures(const rollout::v1::RolloutDocument& document,
                     const OutcomeCount& count);

// What the plane does about the gate behind phase `phase`.
enum class GateAnswer { kWait, kOpen, kHalt };
struct GateDecision {
  GateAnswer answer = GateAnswer::kWait;
  std::string reason;  // "soaking", "too_few_outcomes", "needs_approval", …
};
// `approved`: an operator approved the phase behind a manual gate.
GateDecision EvaluateGate(const rollout::v1::RolloutDocument& document,
                          int phase, const OutcomeCount& count, bool approved,
                          absl::Time now);

// The last phase that is open for a device that has read the document and
// `samples` (by phase; phases without an entry: nothing readable) while no
// plane answers. Beyond document.open_phase only time gates open, each only on
// a good sample: at least min(20, expected) outcomes, at least one success,
// failures below the threshold. Empty phases pass by time, but only behind a
// phase with a good sample.
int UnattendedOpenPhase(const rollout::v1::RolloutDocument& document,
                        const std::vector<OutcomeCount>& samples,
                        absl::Time now);

// What the device remembers of its own tries.
struct Attempts {
  uint32_t count = 0;
  absl::Time last = absl::InfinitePast();
};

struct StartDecision {
  bool start = false;
  // "ok", or why not: "rollout_not_active", "halted", "rollout_expired",
  // "wrong_fleet", "wrong_device_type", "not_selected", "phase_closed",
  // "outside_window", "attempts_exhausted", "backoff".
  std::string reason;
  // For "phase_closed" and "backoff": look again then at the latest.
  absl::Time retry_at = absl::InfiniteFuture();
  int phase = -1;
};

struct StartInput {
  DeviceFacts device;
  std::string fleet_id;  // 32 bytes
  absl::Time now;
  LocalTime local;
  Attempts attempts;
  bool halted = false;  // a valid halt that the document does not lift
  std::vector<OutcomeCount> samples;
};
StartDecision MayStart(const rollout::v1::RolloutDocument& document,
                       const StartInput& input);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_ROLLOUT_H_
