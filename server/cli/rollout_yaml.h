// A rollout's policy as one YAML document: `rollout create -f canary.yaml`
// (docs/rollouts.md has every key).
#ifndef SHOAL_SERVER_CLI_ROLLOUT_YAML_H_
#define SHOAL_SERVER_CLI_ROLLOUT_YAML_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shoal/rollout/v1/rollout_service.pb.h"

namespace shoal::cli {

// At most 64 KiB. kInvalidArgument "bad_config": everything that is wrong, one
// a line as "NAME:LINE: what"; unknown and repeated keys are wrong. Durations
// in the document count from `now` where the API wants times.
absl::StatusOr<rollout::v1::CreateRolloutRequest> ParseRolloutYaml(
    std::string_view text, const std::string& name, absl::Time now);

// "canary.yaml", "canary.yml".
bool IsYamlName(std::string_view file);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_ROLLOUT_YAML_H_
