// The device's clock as far as anything is decided by it (T26): the machine's
// own, unless that is below what is known to be past, or the storage nodes
// agree that it is wrong.
#ifndef SHOAL_AGENT_STATE_DEVICE_CLOCK_H_
#define SHOAL_AGENT_STATE_DEVICE_CLOCK_H_

#include <mutex>
#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "common/clock.h"

namespace shoal::agent {

enum class ClockSource {
  kMachine,  // the machine's own clock, for want of a better one or confirmed
  kNodes,    // the storage nodes' answers of this run, carried on
  kFloor,    // a moment that is known to be past, carried on: too early, that
             // is certain
};
// "machine", "nodes", "floor"
std::string_view ClockSourceName(ClockSource source);

// Thread-safe.
class DeviceClock final : public Clock {
 public:
  // `machine` outlives it.
  explicit DeviceClock(Clock& machine);

  absl::Time WallNow() override;
  absl::Duration MonotonicNow() override { return machine_.MonotonicNow(); }

  // It is later than this; lower values than before are ignored.
  void RaiseFloor(absl::Time past);
  // The storage nodes agree: it was `time` when MonotonicNow() was `taken`.
  void Take(absl::Time time, absl::Duration taken);

  // What is known to be past.
  absl::Time floor() const;

  ClockSource source();
  // False when the machine's clock is certainly wrong and no node has said what
  // time it is: what has run out since can't be told from what has not.
  bool trustworthy() { return source() != ClockSource::kFloor; }
  // The storage nodes' clock against the machine's, when they last agreed.
  std::optional<absl::Duration> correction() const;

 private:
  struct Reading {
    absl::Time time;
    ClockSource source;
  };
  struct Mark {
    absl::Time time;
    absl::Duration taken;  // monotonic
    absl::Time At(absl::Duration now) const { return time + (now - taken); }
  };
  Reading Read();

  Clock& machine_;
  mutable std::mutex mutex_;
  Mark floor_;
  std::optional<Mark> nodes_;
  absl::Duration correction_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_STATE_DEVICE_CLOCK_H_
