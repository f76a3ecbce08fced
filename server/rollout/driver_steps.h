// What the driver's steps do to a row. For server/rollout/driver*.cc.
#ifndef SHOAL_SERVER_ROLLOUT_DRIVER_STEPS_H_
#define SHOAL_SERVER_ROLLOUT_DRIVER_STEPS_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "rules/parallel.h"
#include "server/store/state.pb.h"
#include "shoal/policy/v1/policy.pb.h"

namespace shoal::server {

// Names of those who approved phase `next` and still may: an
// operator who was revoked since, or lost the right, opens nothing. Rows of
// older planes know only that somebody did: "".
std::set<std::string> ApproversOf(const store::RolloutRow& row, uint32_t next,
                                  const policy::v1::AccessPolicy& policy);
// Of the halts that are known of it, those that were lifted included. (Older
// planes kept the records themselves.)
std::set<std::string> HaltDigests(const store::RolloutRow& row);
void OpenPhase(store::RolloutRow& row, uint32_t phase, absl::Time now);
// Says in the document whom it lets begin, with `opening` as the open phase
// (else the document's). Nothing without max_parallel.
void Admit(store::RolloutRow& row,
           const std::vector<rules::ParallelMember>& members, absl::Time now,
           std::optional<uint32_t> opening = {});

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_DRIVER_STEPS_H_
