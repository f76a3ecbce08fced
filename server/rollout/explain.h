// Why nothing happens: the conditions of a rollout's next step and of one
// device's start, each with the facts that the plane has.
#ifndef SHOAL_SERVER_ROLLOUT_EXPLAIN_H_
#define SHOAL_SERVER_ROLLOUT_EXPLAIN_H_

#include <string>

#include "absl/status/statusor.h"
#include "server/rollout/rollouts.h"
#include "server/trust/repository.h"
#include "shoal/rollout/v1/rollout_service.pb.h"

namespace shoal::server {

// Thread-safe. Reads only.
class Explainer {
 public:
  Explainer(const Store& store, const Rollouts& rollouts,
            const Devices& devices, const TrustRepository& trust,
            std::string fleet_id)
      : store_(store),
        rollouts_(rollouts),
        devices_(devices),
        trust_(trust),
        fleet_id_(std::move(fleet_id)) {}

  // "bad_name", "not_found".
  absl::StatusOr<rollout::v1::Explanation> Rollout(
      const std::string& name) const;
  // `rollout` empty: the newest that is not at its end and selects the device.
  absl::StatusOr<rollout::v1::Explanation> Device(
      const std::string& device, const std::string& rollout) const;

 private:
  absl::StatusOr<std::optional<store::RolloutRow>> RolloutOf(
      const store::DeviceRow& device, const std::string& rollout) const;
  const Store& store_;
  const Rollouts& rollouts_;
  const Devices& devices_;
  const TrustRepository& trust_;
  const std::string fleet_id_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_EXPLAIN_H_
