// Many small machines on few threads: each item is worked on by one thread at
// a time, when it is due or when it was woken.
#ifndef SHOAL_SIM_SCHEDULER_H_
#define SHOAL_SIM_SCHEDULER_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace shoal::sim {

// Thread-safe. Times are CLOCK_BOOTTIME, as Clock::MonotonicNow.
class Scheduler {
 public:
  // Returns how long until the item is due again; infinite: never by itself.
  using Work = std::function<absl::Duration(size_t item)>;
  // All items are due at once.
  Scheduler(size_t items, int threads, Work work);
  ~Scheduler();  // as Stop()
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // The item is due now; if it is being worked on, right afterwards.
  void Wake(size_t item);
  // Waits for the work in hand; nothing is begun any more.
  void Stop();
  // Items that are due and wait for a thread: how far behind this machine is.
  size_t Late() const;

 private:
  struct Item {
    absl::Duration due;
    bool running = false;
    bool woken = false;
  };
  void Run();

  const Work work_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;   // of threads without work
  std::condition_variable clock_;  // of the one that waits for the next due
  bool watched_ = false;           // there is such a one
  std::vector<Item> items_;
  std::set<std::pair<absl::Duration, size_t>> queue_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace shoal::sim

#endif  // SHOAL_SIM_SCHEDULER_H_
