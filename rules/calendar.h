// Device-local windows with holidays. Dates are YYYYMMDD, or MMDD for every
// year.
#ifndef SHOAL_RULES_CALENDAR_H_
#define SHOAL_RULES_CALENDAR_H_

#include "absl/status/status.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "rules/facts.h"
#include "shoal/policy/v1/policy.pb.h"
#include "shoal/rollout/v1/document.pb.h"

namespace shoal::rules {

using Windows = google::protobuf::RepeatedPtrField<policy::v1::TimeWindow>;

// Whether `time` falls into one of `windows` (none: always), weekdays and
// `calendar` considered: nothing on an excluded date, windows of any weekday on
// an included one. After midnight a window belongs to the date before.
// A `time` without a date matches no date of the calendar.
bool InCalendar(const Windows& windows, const rollout::v1::Calendar& calendar,
                const LocalTime& time);

// kInvalidArgument "bad_calendar": no dates, more than 366 of a kind, one that
// stands in both lists, included ones without windows.
absl::Status ValidateCalendar(const rollout::v1::Calendar& calendar,
                              bool has_windows);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_CALENDAR_H_
