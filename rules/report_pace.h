// How often a device speaks of itself when nothing changed.
#ifndef SHOAL_RULES_REPORT_PACE_H_
#define SHOAL_RULES_REPORT_PACE_H_

#include "absl/time/time.h"

namespace shoal::rules {

// A device sends a report whenever what it runs or waits for changes, and at
// least this often.
inline constexpr absl::Duration kReportAtLeastEvery = absl::Hours(12);
// From when on one that waits, and said so, is called silent at the earliest.
inline constexpr absl::Duration kReportOverdue = absl::Hours(12 + 1);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_REPORT_PACE_H_
