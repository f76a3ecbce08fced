// Asks the storage nodes for the time: at the start and then daily (T26;
// docs/device.md, "Time").
#ifndef SHOAL_AGENT_LINK_TIME_SYNC_H_
#define SHOAL_AGENT_LINK_TIME_SYNC_H_

#include <future>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/state/device_clock.h"
#include "dht/records/network.h"
#include "signing/verify/time_floor.h"

namespace shoal::agent {

// The control thread's.
class TimeSync {
 public:
  // None is owned; all outlive it.
  TimeSync(DeviceClock* clock, dht::Network* network) noexcept
      : clock_(clock), network_(network) {}

  // Asks when it is due, with the fleet's time keys as signed metadata in force
  // names them, and takes what the answers agree on: into the clock, and into
  // the floor, durably. Never blocks. True when that moved the device's time by
  // more than a minute: then what had run out may hold, and the other way.
  bool Step(const std::vector<std::string>& keys, signing::TimeFloor& floor);

  // Whether what expires may be judged at all: "unknown_time" when the
  // machine's clock is certainly wrong and no time keys have spoken, though the
  // fleet has some. A fleet without time keys lives by the floor alone.
  absl::Status Check(const std::vector<std::string>& keys);

  // When the nodes last agreed, by the clock as corrected; nullopt: not yet.
  std::optional<absl::Time> agreed() const { return agreed_; }

 private:
  bool Take(const std::vector<dht::TimeSample>& samples, size_t keys,
            signing::TimeFloor& floor);

  DeviceClock* const clock_;
  dht::Network* const network_;
  std::future<std::vector<dht::TimeSample>> answers_;
  size_t asked_keys_ = 0;
  absl::Duration next_ = -absl::InfiniteDuration();
  absl::Duration pause_;
  std::string last_trouble_;
  std::optional<absl::Time> agreed_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_TIME_SYNC_H_
