// How many devices are at a rollout at once (RolloutDocument.parallel): the
// plane admits them by position; without a plane they spread their starts.
#ifndef SHOAL_RULES_PARALLEL_H_
#define SHOAL_RULES_PARALLEL_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "shoal/rollout/v1/document.pb.h"

namespace shoal::rules {

// 2^32: above every position.
inline constexpr uint64_t kEveryPosition = uint64_t{1} << 32;

// When this device may start as far as `parallel` goes: the infinite past when
// it is admitted or there is no bound; the infinite future when it must wait
// for the plane. `device_id` is the 16-byte id.
absl::Time AdmittedAt(const rollout::v1::RolloutDocument& document,
                      std::string_view device_id);

// A device that the plane expects in the rollout.
struct ParallelMember {
  uint32_t position = 0;
  int phase = 0;
  bool answered = false;  // or not waited for: it takes no place
};
// The next value of parallel.admitted once `open_phase` is open: as many of the
// devices of open phases, by position, that at most parallel.max have not
// answered, those counted that `document` admitted before.
uint64_t NextAdmitted(const rollout::v1::RolloutDocument& document,
                      uint32_t open_phase, std::vector<ParallelMember> members);

// For parallel.spread_ms: the time that `devices` take when `max` of them are
// at it at once for `device_time` each; at most 30 days.
absl::Duration SpreadOf(uint64_t devices, uint32_t max,
                        absl::Duration device_time);

// "bad_rollout".
absl::Status ValidateParallel(const rollout::v1::Parallel& parallel);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_PARALLEL_H_
