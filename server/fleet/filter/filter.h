// The filter of list requests and dynamic groups: a subset of AIP-160
// (google.aip.dev/160) over what the plane knows of a device; docs/filters.md
// has the language. Pure: text in, tree out, and how one value meets one
// condition; how devices are found by it is server/fleet/device_index.h.
#ifndef SHOAL_SERVER_FLEET_FILTER_FILTER_H_
#define SHOAL_SERVER_FLEET_FILTER_FILTER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace shoal::server {

inline constexpr size_t kMaxFilterBytes = 4096;
inline constexpr int kMaxFilterConditions = 64;
inline constexpr int kMaxFilterDepth = 16;

enum class FilterField {
  kState,
  kDeviceType,
  kLabels,
  kInventory,
  kRunningVersion,
  kAgentVersion,
  kRunningSha256,
  kLastSeen,
  kGroup,
  kName,
};

// Text with '*' for any run of bytes.
struct TextPattern {
  // What stands between the stars; one piece: no star, an exact text.
  std::vector<std::string> pieces;
  bool exact() const { return pieces.size() == 1; }
  bool anything() const;  // only stars
  bool Matches(std::string_view text) const;
};

struct FilterCondition {
  enum class Op {
    kEqual,
    kNotEqual,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual
  };
  FilterField field = FilterField::kState;
  // Of labels and inventory; empty: the condition is about keys ("labels:K").
  std::string key;
  Op op = Op::kEqual;
  // For kEqual and kNotEqual. "field:*" is kEqual with anything().
  TextPattern pattern;
  // For the others.
  std::string text;
  // For kLastSeen: the moment, milliseconds since 1970.
  int64_t time = 0;
  // Byte of the filter where it begins.
  size_t position = 0;
};

struct FilterNode {
  enum class Kind { kAll, kAnd, kOr, kNot, kCondition };
  Kind kind = Kind::kAll;
  std::vector<FilterNode> children;
  FilterCondition condition;
};

// An empty text selects everything. `now`: for durations. kInvalidArgument
// "bad_filter", with FilterErrorPosition().
absl::StatusOr<FilterNode> ParseFilter(std::string_view text, absl::Time now);

// Byte of the filter at which it went wrong; nullopt: another error.
std::optional<size_t> FilterErrorPosition(const absl::Status& status);
absl::Status FilterError(size_t position, std::string_view what);

// "bad_filter" when the tree has a condition that a change of the device can't
// tell the result of: last_seen (time passes), group (groups of groups).
absl::Status CheckGroupFilter(const FilterNode& node);
// "bad_filter" when it has one on last_seen.
absl::Status CheckWatchFilter(const FilterNode& node);
void ForEachCondition(const FilterNode& node,
                      const std::function<void(const FilterCondition&)>& visit);

// The tree over `holds`, which answers for single conditions.
bool EvaluateFilter(const FilterNode& node,
                    const std::function<bool(const FilterCondition&)>& holds);

// Does one value of the condition's field satisfy it? Not for kLastSeen.
bool ValueMatches(const FilterCondition& condition, std::string_view value);
// <0, 0, >0. Runs of digits by size, the rest by bytes: "1.9" < "1.10",
// "6.1.0-9" < "6.1.0-18". For running_version and agent_version.
int CompareVersions(std::string_view a, std::string_view b);
// For labels and inventory: by size when both are decimal numbers ("1.9" >
// "1.10"), else as versions.
int CompareValues(std::string_view a, std::string_view b);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_FILTER_FILTER_H_
