// A rollout as the device decides it, from the signed document alone, and its
// gates as plane and device see them (docs/rollouts.md).
#ifndef SHOAL_RULES_ROLLOUT_H_
#define SHOAL_RULES_ROLLOUT_H_

#include <cstdint>
#include <set>
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
  uint32_t refused = 0;   // did not try and won't: no gate waits for them
  uint32_t accepted = 0;  // failed, and an operator said that it doesn't matter
  uint32_t trying = 0;    // of `failed`: will try again
  uint32_t lost = 0;      // silent for too long: no gate waits for them
  uint32_t gone = 0;      // left the fleet without an answer: nor for them
  // When those who tried signed it, and of them those who failed, oldest first;
  // empty: not known.
  std::vector<absl::Time> answered_at = {};
  std::vector<absl::Time> failed_at = {};
  // Since when they are enough for the gate behind the phase, by the reader's
  // clock; for gates with settle_ms.
  absl::Time enough_since = absl::InfiniteFuture();
  uint32_t judged() const { return succeeded + failed; }
  uint32_t total() const { return judged() + accepted; }
};

// RolloutDocument.rules_level that this code understands.
// 1: fields 18 to 28. 2: groups of the selector.
inline constexpr uint32_t kRulesLevel = 2;

// kInvalidArgument "bad_rollout", "bad_selector", "bad_window", "bad_calendar".
// Limits: id and names identifiers; 1 to 32 phases with thresholds that never
// fall, the last one 2^32; open_phase one of them; fleet and sha256 32 bytes;
// the rest as proto/shoal/rollout/v1/document.proto says.
absl::Status ValidateRollout(const rollout::v1::RolloutDocument& document);

// Bytes of a document at most; a device reads no larger one.
inline constexpr size_t kMaxDocumentBytes = 16'384;
// Of these are left free by whoever lets a document grow: what the plane says
// of itself later (state, phase, whom it admitted) must always fit.
inline constexpr size_t kRoomForOrders = 256;
// kFailedPrecondition "document_too_large" unless the document and `room` bytes
// more are within the bound.
absl::Status CheckDocumentSize(const rollout::v1::RolloutDocument& document,
                               size_t room);

// The first phase that includes the device: by its labels, groups or position.
// -1: the selector does not select it.
int PhaseOf(const rollout::v1::RolloutDocument& document,
            const DeviceFacts& device);

// Of a device that began it in phase `began_in` (-1: it did not): that one,
// whatever its labels and groups say since. Else PhaseOf().
int PhaseFor(const rollout::v1::RolloutDocument& document,
             const DeviceFacts& device, int began_in);

// Is the share of failures in phase `phase` at or above the document's error
// threshold? The share is of max(outcomes, min(10, expected devices)): the
// first answers of a large phase are no sample yet, and a small phase is as
// large as it is. A threshold of 0 means that any failure is too much.
bool TooManyFailures(const rollout::v1::RolloutDocument& document, int phase,
                     const OutcomeCount& count);
// The fewest failures that would be too many beside the successes of `count`;
// 0: no number of them would, since those successes keep the share below a
// threshold of 100 %.
uint32_t FailuresThatHalt(const rollout::v1::RolloutDocument& document,
                          int phase, const OutcomeCount& count);

// What an unattended time gate asks of a sample of phase `phase`: at least
// min(20, expected) outcomes, one success, failures below the threshold.
// Whoever refused is not expected, and of 20 devices or fewer neither are those
// who are lost, but for half of the phase.
bool GoodSample(const rollout::v1::RolloutDocument& document, int phase,
                const OutcomeCount& count);
// What a gate with a plane up asks: how many outcomes, and whether they are
// enough (number, ratio, threshold). At least one, unless the phase is empty:
// no gate opens on silence.
uint32_t OutcomesWanted(const rollout::v1::RolloutDocument& document, int phase,
                        const OutcomeCount& count);
bool EnoughOutcomes(const rollout::v1::RolloutDocument& document, int phase,
                    const OutcomeCount& count);
// Have enough of those approved whose approval counts? Names of operators.
bool Approved(const rollout::v1::Gate& gate,
              const std::set<std::string>& approvers);
// Tries of one device, and the pause after so many of them.
uint32_t MaxAttempts(const rollout::v1::RolloutDocument& document);
absl::Duration PauseAfter(const rollout::v1::RolloutDocument& document,
                          uint32_t attempts);

// What the plane does about the gate behind phase `phase`.
enum class GateAnswer { kWait, kOpen, kHalt };
struct GateDecision {
  GateAnswer answer = GateAnswer::kWait;
  // "soaking", "too_few_outcomes", "success_ratio", "settling",
  // "needs_approval", "error_threshold".
  std::string reason;
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
// phase with a good sample. Too many failures in any phase that is open by then
// open no other. A phase opened when its gate's time was over and enough of the
// phase before had answered, by their own clocks (now, where that is unknown),
// and its time runs from then.
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
  // "ok", or why not: "agent_too_old", "rollout_not_active", "halted",
  // "rollout_expired", "wrong_fleet", "wrong_device_type", "not_selected",
  // "other_image", "phase_closed", "attempts_exhausted", "backoff",
  // "not_admitted", "outside_window", "metered_link", "needs_consent",
  // "postponed".
  std::string reason;
  // When it is known: look again then at the latest.
  absl::Time retry_at = absl::InfiniteFuture();
  int phase = -1;
};

struct StartInput {
  DeviceFacts device;
  std::string fleet_id;  // 32 bytes
  absl::Time now;
  LocalTime local;
  Attempts attempts;
  int began_in = -1;    // the phase of its first try that counts, as PhaseFor()
  bool halted = false;  // a valid halt that the document does not lift
  std::vector<OutcomeCount> samples;
  std::string running_sha256;  // 32 bytes
  bool metered = false;        // the owner's word about the link
  bool consented = false;      // somebody at the device, to this rollout
  absl::Time postponed_until = absl::InfinitePast();
};
StartDecision MayStart(const rollout::v1::RolloutDocument& document,
                       const StartInput& input);

// May the image that a device installed for this rollout be started now? The
// reasons are those above that can still hold, and "activation_not_yet",
// "activation_held", "outside_activation_window".
StartDecision MayActivate(const rollout::v1::RolloutDocument& document,
                          const StartInput& input);

// The rollout will never start again by itself: what was installed for it and
// not started is to be dropped.
bool IsOver(const rollout::v1::RolloutDocument& document, absl::Time now);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_ROLLOUT_H_
