// The options of "rollout create", from flags or a TOML file.
#ifndef SHOAL_SERVER_CLI_ROLLOUT_OPTIONS_H_
#define SHOAL_SERVER_CLI_ROLLOUT_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/files.h"
#include "shoal/rollout/v1/rollout_service.pb.h"

namespace shoal::cli {

struct RolloutOptions {
  std::string file;  // -f
  std::string release;
  std::string id;
  std::vector<std::string> phases;
  std::vector<std::string> labels;
  std::vector<std::string> devices;
  std::vector<std::string> groups;
  std::string delta_wait;  // a duration, "all" or "none"; empty: all
  std::vector<std::string> windows;
  std::string error_threshold;
  std::string lifetime;
  uint32_t max_attempts = 0;
  bool unattended = false;
  bool wait_published = false;
  bool dry_run = false;
};

// Fills what the command line left out from the TOML file: keys release, id,
// phases, labels, devices, groups, windows, error_threshold, lifetime,
// max_attempts, unattended. Flags win.
absl::Status MergeRolloutFile(FileSystem& fs, RolloutOptions& options);

// Without phases: one of all devices; without a threshold: 10 %. UsageError's
// for what is missing or wrong.
absl::StatusOr<rollout::v1::CreateRolloutRequest> BuildRolloutRequest(
    const RolloutOptions& options);

// The request of these options: from the YAML file (only --release, --id,
// --unattended and --dry-run go with one), or from flags and the TOML file.
absl::StatusOr<rollout::v1::CreateRolloutRequest> RolloutRequestOf(
    FileSystem& fs, const RolloutOptions& options, absl::Time now);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_ROLLOUT_OPTIONS_H_
