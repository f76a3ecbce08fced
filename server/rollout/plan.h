// From an operator's request to the document that is signed: phases as hash
// thresholds over the devices that the fleet has now. Pure functions.
#ifndef SHOAL_SERVER_ROLLOUT_PLAN_H_
#define SHOAL_SERVER_ROLLOUT_PLAN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rules/facts.h"
#include "server/store/state.pb.h"
#include "shoal/rollout/v1/rollout_service.pb.h"

namespace shoal::server {

// Version 1 in state ACTIVE, opened now. `devices`: all accepted devices of
// the type that are to be counted. kInvalidArgument "bad_rollout" or another
// reason of rules::ValidateRollout with what is wrong.
absl::StatusOr<rollout::v1::RolloutDocument> PlanRollout(
    const rollout::v1::CreateRolloutRequest& request,
    const store::ReleaseRow& release, const std::string& fleet_id,
    const std::vector<rules::DeviceFacts>& devices, absl::Time now);

// How long one device is expected to take, with the default for 0.
uint32_t DeviceSeconds(uint32_t asked);

// How a document names a release; without a delta index.
absl::StatusOr<rollout::v1::ReleaseRef> ReferenceTo(
    const store::ReleaseRow& release);

// "director/TYPE/rollout/ID", "director/TYPE/deltas/VERSION".
std::string RolloutTarget(const rollout::v1::RolloutDocument& document);
std::string DeltaIndexTarget(const std::string& device_type,
                             const std::string& version);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_PLAN_H_
