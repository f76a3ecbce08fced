#include "agent/state/device_clock.h"

#include <algorithm>

namespace shoal::agent {
namespace {

// No device has run this program earlier: a clock before it was never set.
const absl::Time kNeverEarlier = absl::FromUnixSeconds(1'735'689'600);  // 2025
// Up to here the machine's own clock is right enough, and is used, since it is
// what the device's other programs go by.
constexpr absl::Duration kRightEnough = absl::Seconds(60);

}  // namespace

DeviceClock::DeviceClock(Clock& machine)
    : machine_(machine), floor_{kNeverEarlier, machine.MonotonicNow()} {}

std::string_view ClockSourceName(ClockSource source) {
  switch (source) {
    case ClockSource::kMachine:
      return "machine";
    case ClockSource::kNodes:
      return "nodes";
    case ClockSource::kFloor:
      break;
  }
  return "floor";
}

DeviceClock::Reading DeviceClock::Read() {
  const absl::Time wall = machine_.WallNow();
  const absl::Duration now = machine_.MonotonicNow();
  std::lock_guard lock(mutex_);
  Reading reading{wall, ClockSource::kMachine};
  if (nodes_) {
    const absl::Time theirs = nodes_->At(now);
    if (absl::AbsDuration(wall - theirs) > kRightEnough)
      reading = {theirs, ClockSource::kNodes};
  }
  // A clock that is right enough may be a little behind the floor that the
  // nodes' answer made.
  const absl::Time past = floor_.At(now);
  if (reading.time < past - kRightEnough) return {past, ClockSource::kFloor};
  reading.time = std::max(reading.time, past);
  return reading;
}

absl::Time DeviceClock::WallNow() { return Read().time; }

ClockSource DeviceClock::source() { return Read().source; }

absl::Time DeviceClock::floor() const {
  const absl::Duration now = machine_.MonotonicNow();
  std::lock_guard lock(mutex_);
  return floor_.At(now);
}

void DeviceClock::RaiseFloor(absl::Time past) {
  const absl::Duration now = machine_.MonotonicNow();
  std::lock_guard lock(mutex_);
  if (past > floor_.At(now)) floor_ = Mark{past, now};
}

void DeviceClock::Take(absl::Time time, absl::Duration taken) {
  const absl::Time wall = machine_.WallNow();
  const absl::Duration now = machine_.MonotonicNow();
  std::lock_guard lock(mutex_);
  nodes_ = Mark{time, taken};
  correction_ = nodes_->At(now) - wall;
}

std::optional<absl::Duration> DeviceClock::correction() const {
  std::lock_guard lock(mutex_);
  if (!nodes_) return std::nullopt;
  return correction_;
}

}  // namespace shoal::agent
