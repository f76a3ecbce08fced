// Counting outcomes: the plane over what it pulled, a device over the sample
// that it read, by the same rules.
#ifndef SHOAL_RULES_OUTCOMES_H_
#define SHOAL_RULES_OUTCOMES_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "rules/rollout.h"
#include "shoal/records/v1/payloads.pb.h"
#include "shoal/rollout/v1/document.pb.h"

namespace shoal::rules {

// kWaiting: refused for what may still change.
enum class OutcomeVerdict { kSucceeded, kFailed, kRefused, kWaiting };

// Success only with the digest of the rollout's image as the running one (T27);
// a success that names another is a failure. REFUSED: the device did not try,
// and won't (kRefused) or may once it is brought up to it ("dependency_unmet",
// "policy_denied": kWaiting). Everything else failed.
OutcomeVerdict JudgeOutcome(const rollout::v1::RolloutDocument& document,
                            records::v1::OutcomeResult result,
                            std::string_view running_sha256,
                            std::string_view reason);
// The verdict on a refusal.
OutcomeVerdict JudgeRefusal(std::string_view reason);

// Does an outcome take the place of the one that is known of the same device?
// The later one does; but what a device tried says more than what it refused
// before or after.
bool SaysMore(uint64_t counter, OutcomeVerdict verdict, uint64_t old_counter,
              OutcomeVerdict old_verdict);

// Counts each device once, by the latest outcome of a try; by a refusal only
// when it never tried, so that a refusal does not hide a failure before it.
class OutcomeTally {
 public:
  explicit OutcomeTally(int phases)
      : phases_(static_cast<size_t>(phases < 0 ? 0 : phases)) {}

  // `counter` is the device's own and grows with its every outcome; an older
  // one, a counter of 0 and a phase that does not exist change nothing. `at`:
  // when it was signed, by the device's clock.
  void Add(std::string_view device, uint64_t counter, int phase,
           OutcomeVerdict verdict, absl::Time at = absl::InfiniteFuture());
  std::vector<OutcomeCount> ByPhase() const;

 private:
  struct Latest {
    uint64_t counter = 0;
    size_t phase = 0;
    OutcomeVerdict verdict = OutcomeVerdict::kFailed;
    absl::Time at;
  };
  size_t phases_;
  std::map<std::string, Latest, std::less<>> latest_;
};

// Accepted failures are no failures; that those devices answered still counts.
OutcomeCount WithoutAccepted(OutcomeCount count, uint32_t accepted);
// The same by what the document says of phase `phase`, for whoever has no other
// word: of the failures in `count`, which OutcomeTally made, those that were
// signed in time, as many as were accepted.
OutcomeCount WithoutAccepted(const rollout::v1::RolloutDocument& document,
                             int phase, OutcomeCount count);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_OUTCOMES_H_
