#include "agent/link/time_sync.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "signing/verify/time_quorum.h"

namespace shoal::agent {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(3);
constexpr absl::Duration kDaily = absl::Hours(24);
// After a failure: soon, then rarer and rarer. Nothing can be installed while
// the clock is known to be wrong, so then it stays often.
constexpr absl::Duration kFirstPause = absl::Seconds(2);
constexpr absl::Duration kMostPause = absl::Hours(1);
constexpr absl::Duration kMostPauseWithoutTime = absl::Minutes(1);

}  // namespace

bool TimeSync::Step(const std::vector<std::string>& keys,
                    signing::TimeFloor& floor) {
  if (answers_.valid()) {
    if (answers_.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
      return false;
    return Take(answers_.get(), asked_keys_, floor);
  }
  if (keys.empty() || clock_->MonotonicNow() < next_) return false;
  auto promise = std::make_shared<std::promise<std::vector<dht::TimeSample>>>();
  answers_ = promise->get_future();
  asked_keys_ = keys.size();
  network_->AskTime(keys, kTimeout,
                    [promise](std::vector<dht::TimeSample> samples) {
                      promise->set_value(std::move(samples));
                    });
  return false;
}

bool TimeSync::Take(const std::vector<dht::TimeSample>& samples, size_t keys,
                    signing::TimeFloor& floor) {
  const absl::Duration now = clock_->MonotonicNow();
  std::vector<absl::Time> times;
  for (const dht::TimeSample& sample : samples)
    times.push_back(sample.time + (now - sample.taken));
  const auto agreed = signing::AgreeOnTime(std::move(times), keys);
  if (!agreed.ok()) {
    const std::string reason = ReasonOf(agreed.status());
    if (reason != last_trouble_)
      LogWarn("time_unknown", {{"error", agreed.status()}});
    last_trouble_ = reason;
    const absl::Duration most =
        clock_->trustworthy() ? kMostPause : kMostPauseWithoutTime;
    pause_ = std::clamp(2 * pause_, kFirstPause, most);
    next_ = now + pause_;
    return false;
  }
  last_trouble_.clear();
  pause_ = absl::ZeroDuration();
  next_ = now + kDaily;
  const absl::Time before = clock_->WallNow();
  // The floor first: what was believed once must bind after a power cut.
  if (const absl::Status raised = floor.Raise(*agreed); !raised.ok()) {
    LogError("time_floor_not_saved", {{"error", raised}});
    next_ = now + kFirstPause;
    return false;
  }
  clock_->RaiseFloor(floor.floor());
  clock_->Take(*agreed, now);
  agreed_ = clock_->WallNow();
  LogInfo("time_agreed",
          {{"answers", samples.size()},
           {"keys", keys},
           {"source", ClockSourceName(clock_->source())},
           {"machine_off_by", absl::FormatDuration(absl::Trunc(
                                  *clock_->correction(), absl::Seconds(1)))}});
  if (*agreed < floor.floor() - signing::kTimeAgreement)
    LogWarn("time_behind_floor",
            {{"nodes", absl::FormatTime(*agreed, absl::UTCTimeZone())},
             {"floor", absl::FormatTime(floor.floor(), absl::UTCTimeZone())}});
  return absl::AbsDuration(clock_->WallNow() - before) > absl::Minutes(1);
}

absl::Status TimeSync::Check(const std::vector<std::string>& keys) {
  if (keys.empty() || clock_->trustworthy()) return absl::OkStatus();
  return Unavailable(
      "unknown_time",
      "this device's clock is behind a moment that has passed and the storage "
      "nodes have not told the time yet: nothing is installed until they have");
}

}  // namespace shoal::agent
