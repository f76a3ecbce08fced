#include "rules/calendar.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "absl/time/civil_time.h"
#include "common/status.h"
#include "rules/selector.h"

namespace shoal::rules {
namespace {

using Dates = google::protobuf::RepeatedField<uint32_t>;
constexpr int kMaxDates = 366;

bool Names(const Dates& dates, int date) {
  if (date == 0) return false;
  return std::any_of(dates.begin(), dates.end(), [&](uint32_t one) {
    return static_cast<int>(one) == (one < 10000 ? date % 10000 : date);
  });
}

int DayBefore(int date) {
  if (date == 0) return 0;
  const absl::CivilDay day =
      absl::CivilDay(date / 10000, date / 100 % 100, date % 100) - 1;
  return static_cast<int>(day.year()) * 10000 + day.month() * 100 + day.day();
}

// February 29th is a date of every year: it is met in some of them.
bool IsDate(uint32_t date) {
  const uint32_t year = date < 10000 ? 2000 : date / 10000;
  const int month = static_cast<int>(date / 100 % 100);
  const int day = static_cast<int>(date % 100);
  if (year < 2000 || year > 9999) return false;
  const absl::CivilDay civil(year, month, day);
  return civil.month() == month && civil.day() == day;
}

}  // namespace

bool InCalendar(const Windows& windows, const rollout::v1::Calendar& calendar,
                const LocalTime& time) {
  if (windows.empty()) return !Names(calendar.excluded(), time.date);
  return std::any_of(windows.begin(), windows.end(), [&](const auto& window) {
    const bool over_midnight = window.from_minute() > window.to_minute();
    const bool after_midnight =
        over_midnight && time.minute < static_cast<int>(window.to_minute());
    const int date = after_midnight ? DayBefore(time.date) : time.date;
    if (Names(calendar.excluded(), date)) return false;
    if (!Names(calendar.included(), date)) return InWindow(window, time);
    policy::v1::TimeWindow any_day = window;
    any_day.clear_weekdays();
    return InWindow(any_day, time);
  });
}

absl::Status ValidateCalendar(const rollout::v1::Calendar& calendar,
                              bool has_windows) {
  const auto bad = [](const std::string& what) {
    return InvalidArgument("bad_calendar", what);
  };
  if (calendar.excluded_size() > kMaxDates ||
      calendar.included_size() > kMaxDates)
    return bad(
        fmt::format("a calendar has at most {} dates of a kind", kMaxDates));
  std::set<uint32_t> seen;
  for (const Dates* dates : {&calendar.excluded(), &calendar.included()})
    for (uint32_t date : *dates) {
      if (!IsDate(date))
        return bad(fmt::format("{} is no date (YYYYMMDD or MMDD)", date));
      if (!seen.insert(date).second)
        return bad(fmt::format("date {} stands there twice", date));
    }
  if (calendar.included_size() > 0 && !has_windows)
    return bad("included dates need windows that they open");
  return absl::OkStatus();
}

}  // namespace shoal::rules
