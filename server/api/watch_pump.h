// What moves the watches on: one thread for all of a service's, so that a
// thousand open streams cost a thousand small objects and not a thousand
// threads. Changes that follow each other quickly are looked at together, and
// however many watches there are, looking takes a fifth of a core at most.
#ifndef SHOAL_SERVER_API_WATCH_PUMP_H_
#define SHOAL_SERVER_API_WATCH_PUMP_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "server/store/store.h"

namespace shoal::server {

// Thread-safe. Ends before the store.
class WatchPump {
 public:
  class Watch {
   public:
    enum class Look { kIdle, kMore, kOver };
    virtual ~Watch() = default;
    // Sends what is due unless something is on its way. kMore: look again
    // soon, without a change of the store; kOver: never again.
    virtual Look LookAgain() = 0;
    // The plane stops.
    virtual void End() = 0;
  };

  explicit WatchPump(const Store& store);
  ~WatchPump();
  WatchPump(const WatchPump&) = delete;
  WatchPump& operator=(const WatchPump&) = delete;

  // Looks once at once, on the caller's thread.
  void Add(std::shared_ptr<Watch> watch);

 private:
  void Run();
  const Store& store_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<Watch>> watches_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_WATCH_PUMP_H_
