// Gathers records while the ones before go to disk: a transaction costs an
// fsync, however many records are in it, so a stream that is faster than the
// disk comes in larger batches and a slow one at once.
#ifndef SHOAL_SERVER_PULL_BATCHER_H_
#define SHOAL_SERVER_PULL_BATCHER_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "dht/node_client/pull_client.h"

namespace shoal::server {

// Add and Finish: one thread.
class Batcher {
 public:
  // Takes `records`, the last of which stands at `after`. On the batcher's
  // thread, one batch at a time, in order.
  using Take = std::function<absl::Status(
      const std::vector<std::string>& records, const dht::PullPosition& after)>;
  // At most `max` records a batch.
  Batcher(Take take, size_t max);
  ~Batcher();  // as Finish()
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // Waits while a whole batch waits. False: a batch was not taken; nothing
  // more will be.
  bool Add(std::string record, const dht::PullPosition& after);
  bool ok();
  // Waits until everything is taken. The first error.
  absl::Status Finish();

 private:
  void Run();

  const Take take_;
  const size_t max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> records_;
  dht::PullPosition after_;
  absl::Status status_;
  bool finished_ = false;
  std::thread thread_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PULL_BATCHER_H_
