// What happens to a record after it is on disk: heads refresh the trust, a new
// node directory is taken over, providers help the mirror. One thread does it,
// since all of it may block.
#ifndef SHOAL_DHT_NODE_INTAKE_H_
#define SHOAL_DHT_NODE_INTAKE_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "dht/records/record.h"

namespace shoal::dht::node {

// Thread-safe.
class Intake {
 public:
  // `handle` runs on the intake's thread, one record at a time, in order;
  // `idle` runs about once a second there. Nothing runs before Start().
  Intake(std::function<void(const VerifiedRecord&)> handle,
         std::function<void()> idle);
  ~Intake();  // drops what waits: it is on disk and looked at again at start

  // Whether a kind is of any interest here.
  static bool Wants(records::v1::RecordKind kind);
  void Start();
  void Push(VerifiedRecord record);

 private:
  void Run();
  const std::function<void(const VerifiedRecord&)> handle_;
  const std::function<void()> idle_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<VerifiedRecord> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_INTAKE_H_
