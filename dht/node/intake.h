// What happens to a record after it is on disk: heads refresh the trust, a new
// node directory is taken over, providers help the mirror. One thread does it,
// since all of it may block.
#ifndef SHOAL_DHT_NODE_INTAKE_H_
#define SHOAL_DHT_NODE_INTAKE_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "dht/records/record.h"

namespace shoal::dht::node {

// The records that wait. What members may write waits apart, one of each writer
// at each place and few of each writer: none of them keeps the fleet's own word
// waiting, nor another member's. Not thread-safe.
class IntakeQueue {
 public:
  static constexpr size_t kMaxOfDirectors = 4096;
  static constexpr size_t kMaxOfMembers = 4096;
  static constexpr size_t kMaxOfOneMember = 16;

  // False: there is no room. It is on disk, and looked at again at the next
  // start.
  bool Push(VerifiedRecord record);
  // Those of directors first, each kind in the order in which it came.
  std::optional<VerifiedRecord> Pop();
  bool empty() const { return directors_.empty() && order_.empty(); }

 private:
  // Writer and place.
  using Key = std::pair<std::string, std::string>;
  std::deque<VerifiedRecord> directors_;
  std::deque<Key> order_;
  std::map<Key, VerifiedRecord> members_;
  std::map<std::string, size_t> by_writer_;
};

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
  IntakeQueue queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_INTAKE_H_
