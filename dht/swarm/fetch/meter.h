// Decides when a source is too slow (T10): no byte for a while, or a rate
// below the minimum over ten seconds.
#ifndef SHOAL_DHT_SWARM_FETCH_METER_H_
#define SHOAL_DHT_SWARM_FETCH_METER_H_

#include <cstdint>
#include <deque>
#include <utility>

#include "absl/time/time.h"

namespace shoal::dht {

// One thread. All times are monotonic.
class Meter {
 public:
  static constexpr absl::Duration kWindow = absl::Seconds(10);

  // A new source starts at `now`.
  void Restart(absl::Duration now) {
    best_ = 0;
    last_progress_ = now;
    samples_.clear();
    samples_.emplace_back(now, 0);
  }
  // `bytes` from this source so far; only new maxima are progress, so that a
  // peer which sends wrong blocks again and again makes none.
  void Update(absl::Duration now, uint64_t bytes) {
    if (bytes > best_) {
      best_ = bytes;
      last_progress_ = now;
    }
    if (now - samples_.back().first >= absl::Milliseconds(500)) {
      samples_.emplace_back(now, best_);
    }
    // Keep one sample that is at least a window old.
    while (samples_.size() > 1 && now - samples_[1].first >= kWindow) {
      samples_.pop_front();
    }
  }
  bool TooSlow(absl::Duration now, absl::Duration stall,
               int64_t min_rate) const {
    if (now - last_progress_ >= stall) return true;
    const auto& [since, bytes] = samples_.front();
    if (now - since < kWindow) return false;
    const double seconds = absl::ToDoubleSeconds(now - since);
    return static_cast<double>(best_ - bytes) <
           static_cast<double>(min_rate) * seconds;
  }
  uint64_t best() const { return best_; }

 private:
  uint64_t best_ = 0;
  absl::Duration last_progress_;
  std::deque<std::pair<absl::Duration, uint64_t>> samples_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_FETCH_METER_H_
