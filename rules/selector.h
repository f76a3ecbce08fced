// Which devices a rollout or an access rule is about.
#ifndef SHOAL_RULES_SELECTOR_H_
#define SHOAL_RULES_SELECTOR_H_

#include "absl/status/status.h"
#include "rules/facts.h"

namespace shoal::policy::v1 {
class DeviceSelector;
class TimeWindow;
}  // namespace shoal::policy::v1

namespace shoal::rules {

// True when everything that `selector` gives holds. An empty selector selects
// nothing: "every device" must be said with `all`.
bool Matches(const policy::v1::DeviceSelector& selector,
             const DeviceFacts& device);

// kInvalidArgument "bad_selector": ids that are not 32 hex digits, names that
// are no identifiers, more than 1,000 entries, `all` beside narrower fields.
absl::Status ValidateSelector(const policy::v1::DeviceSelector& selector);

// from ≤ time < to; over midnight when to < from (the weekday is then that of
// the evening); from = to is the whole day.
bool InWindow(const policy::v1::TimeWindow& window, const LocalTime& time);
absl::Status ValidateWindow(const policy::v1::TimeWindow& window);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_SELECTOR_H_
