// Tells the parent now and then how far the work is, also while nothing is
// written: hashing the base, expanding and making again what an interruption
// lost take minutes on slow flash, and who says nothing for long is killed
// (PatchJob::stall_timeout).
#ifndef SHOAL_AGENT_PATCH_HEARTBEAT_H_
#define SHOAL_AGENT_PATCH_HEARTBEAT_H_

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/time/time.h"
#include "common/clock.h"

namespace shoal::agent {

// One thread at a time.
class Heartbeat {
 public:
  static constexpr absl::Duration kInterval = absl::Milliseconds(100);

  // `say` gets the bytes written so far: with the first that are, then once an
  // interval at most.
  Heartbeat(Clock& clock, std::function<void(uint64_t written)> say)
      : clock_(clock), say_(std::move(say)) {}

  // So much was written before; nothing is said before this call.
  void Begin(uint64_t written) {
    written_ = written;
    begun_ = true;
  }
  // With each step of any work: a read, a write.
  void Beat() {
    if (begun_ && clock_.MonotonicNow() >= next_) Say();
  }
  // With each step that got on.
  void Written(uint64_t bytes) {
    written_ = bytes;
    if (!moved_) Say();
    moved_ = true;
    Beat();
  }

 private:
  void Say() {
    next_ = clock_.MonotonicNow() + kInterval;
    say_(written_);
  }

  Clock& clock_;
  std::function<void(uint64_t)> say_;
  uint64_t written_ = 0;
  bool begun_ = false, moved_ = false;
  absl::Duration next_ = absl::ZeroDuration();
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_PATCH_HEARTBEAT_H_
