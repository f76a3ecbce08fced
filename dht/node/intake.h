// What happens to a record after it is on disk: heads refresh the trust, a new
// node directory is taken over, providers help the mirror, repaired records
// go into the DHT. One thread does it, since all of it may block.
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
  // `handle` runs on the intake's thread, one record at a time, in order; with
  // `repaired` for those that came from another node's disk. `idle` runs about
  // once a second there.
  Intake(std::function<void(const VerifiedRecord&, bool repaired)> handle,
         std::function<void()> idle);
  ~Intake();  // drops what waits: it is on disk and looked at again at start

  // Whether a kind is of any interest here.
  static bool Wants(records::v1::RecordKind kind);
  void Push(VerifiedRecord record, bool repaired);

 private:
  void Run();
  const std::function<void(const VerifiedRecord&, bool)> handle_;
  const std::function<void()> idle_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::pair<VerifiedRecord, bool>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_INTAKE_H_
