// What listeners got, on its way to the control thread. It is bounded, whoever
// floods a place.
#ifndef SHOAL_AGENT_LINK_RECORD_QUEUE_H_
#define SHOAL_AGENT_LINK_RECORD_QUEUE_H_

#include <cstddef>
#include <deque>
#include <vector>

#include "dht/records/record.h"

namespace shoal::agent {

// One thread at a time.
class RecordQueue {
 public:
  static constexpr size_t kMaxHalts = 4096;
  static constexpr size_t kMaxHeads = 16;
  static constexpr size_t kMaxOthers = 256;

  // Each kind has room of its own, so that no flood of one pushes out another.
  // HEADs, which anybody may write: the last one of each key, and of the last
  // keys. They only say "look", and the look-up finds the others. HALTs, which
  // operators alone write and which come once: the first ones; a halt that was
  // taken in is never dropped. Of all else the oldest goes first.
  // False: this record, or another one for it, was dropped.
  bool Push(const dht::VerifiedRecord& record);
  // Everything, halts first; empty afterwards.
  std::vector<dht::VerifiedRecord> Take();
  bool empty() const {
    return halts_.empty() && heads_.empty() && others_.empty();
  }

 private:
  std::deque<dht::VerifiedRecord> halts_;
  std::deque<dht::VerifiedRecord> heads_;
  std::deque<dht::VerifiedRecord> others_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_RECORD_QUEUE_H_
