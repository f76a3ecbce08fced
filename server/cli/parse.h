// Values of the command line. All errors are UsageError (exit_code.h) and name
// the value and what would be right. Thread-safe.
#ifndef SHOAL_SERVER_CLI_PARSE_H_
#define SHOAL_SERVER_CLI_PARSE_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shoal/policy/v1/policy.pb.h"
#include "shoal/rollout/v1/rollout_service.pb.h"

namespace shoal::cli {

// "90s", "15m", "1h30m", "24h", "7d", "2w": positive, at most 10 years.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);

// "20%", "0.5%", "20" (percent): 0 to 100 percent in thousandths of the whole.
absl::StatusOr<uint32_t> ParsePermille(std::string_view text);

// "k=v" …; keys are identifiers, given once.
using Labels = std::map<std::string, std::string>;
absl::StatusOr<Labels> ParseLabels(const std::vector<std::string>& texts);

// "k=v" sets, "k-" removes: the labels after the changes.
absl::StatusOr<Labels> ApplyLabelChanges(Labels labels,
                                         const std::vector<std::string>& texts);

// "NAME:key=value,…" with count=N or percent=P (exactly one), soak=DURATION,
// success=P%, min=N (outcomes), label.K=V, and the word manual.
absl::StatusOr<rollout::v1::PhaseSpec> ParsePhase(std::string_view text);

// "[DAYS ]HH:MM-HH:MM", DAYS such as "1-5" or "1,3,7" (1 = Monday).
absl::StatusOr<policy::v1::TimeWindow> ParseWindow(std::string_view text);

// "ID" or "devices/ID" with 32 hex digits → "devices/ID" in lower case.
absl::StatusOr<std::string> DeviceName(std::string_view text);
// 16 bytes of "devices/ID".
absl::StatusOr<std::string> DeviceIdOf(std::string_view device_name);
// "ID" or "rollouts/ID" → "rollouts/ID".
absl::StatusOr<std::string> RolloutName(std::string_view text);

// "TYPE/VERSION" or "releases/TYPE/VERSION".
struct ReleaseId {
  std::string device_type;
  std::string version;
  std::string Name() const { return "releases/" + device_type + "/" + version; }
};
absl::StatusOr<ReleaseId> ParseReleaseId(std::string_view text);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_PARSE_H_
